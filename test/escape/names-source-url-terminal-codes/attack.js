// A sourceURL comment with control codes and brackets, and one in evaluated text.
globalThis.__backplanePlugin = { functions: { async attack() { try { eval("throw new Error('named')\n//# sourceURL=file:///etc/shadow"); } catch (error) { if (error.message === "named") throw error; } throw new Error("named"); } } };
//# sourceURL=x):1:1)[31m(/etc/passwd
