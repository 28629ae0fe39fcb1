// A bundle that throws an object with looping getters.
throw { get message() { for (;;) {} }, get stack() { for (;;) {} }, get name() { throw 1; } };
