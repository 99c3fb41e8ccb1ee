// Package dev runs a whole cluster on this machine: "kvorum dev". Each storage
// node and each fan-out replica is a child process of its own, so that one can
// be killed and started again like in production.
//
// It guarantees that the children end when it ends, that the data folder is
// used by one dev at a time and only with the number of nodes it was made for,
// and that "ready" is printed after every node and the fan-out have answered.
// It starts no child again by itself, and it is no way to run production: all
// replicas share one machine and one disk.
package dev
