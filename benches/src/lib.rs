//! Fan-out benches, and the servers that the engine is compared with: `floor`, which does the least that a server can
//! do, and `naive`, which does what most people write first.
