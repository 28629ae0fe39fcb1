// A bundle that loops while it is loaded.
for (;;) {}
