//go:build linux

// Command torture breaks a cluster of real processes and judges what its clients
// saw. It starts three storage nodes and two fan-outs, as users run them, lets
// clients of every kind work on them, injects one fault after the other, and
// holds the recorded histories against what is promised (libs/check).
//
//	go run ./tools/torture --time 30m
//	go run ./tools/torture --time 60s --faults kill-leader,pause-leader --seed 7
//
// As root it puts itself into a process, mount and network namespace of its own
// (isolate.go), each member into a network namespace of its own (network.go), and
// the data directories onto a file system that can lose power (powerfs). So it
// can partition, cut the power and fail disks, and whatever ends it, the kernel
// takes away all that it made but its folder. Without root the members share the
// loopback interface, and the faults that need more are left out, which is said.
//
// A run is a sequence of phases. In a phase clients work (load.go, leases.go,
// locks.go, watches.go) while faults of drawn kinds come and go (faults.go). At
// its end everything is healed; every node must answer, catch up and have the
// same digest; the history is read from the first revision of the phase on and
// judged together with what was recorded (judge.go). A failure keeps data
// directories, logs and the phase's history, and says where they are.
//
// Which fault strikes whom, and when, follows from the seed. How the processes
// answer does not: a seed makes a failure likely to come back, no more.
package main
