// Package powerfs is a file system that behaves as a disk whose power can fail:
// what was written and not flushed may be lost, in parts and out of order. It is
// mounted by FUSE on Linux, as root, over a folder that holds the files.
//
//	disk, err := powerfs.Mount(mountpoint, backing, powerfs.Options{})
//	...              // processes work in mountpoint
//	disk.Cut(rng)    // from now on every operation fails
//	...              // kill the processes
//	disk.Restore()   // mountpoint shows what the disk holds
//
// # What a cut leaves
//
// Of a file: all that an fsync, fdatasync, msync or a write with O_SYNC covered
// which had returned, its size too; of what was written since, any subset of
// sectors (512 or 4096 bytes), each in a version of its own, and any size that the
// file had since. What processes wrote to mapped pages and the kernel did not
// write out yet is lost, or written out at the cut and then treated the same.
//
// Of the names in a directory: all changes (create, unlink, rename, mkdir, rmdir)
// that an fsync of the directory covered, and of those since a prefix, in their
// order. A rename happened in both directories or in neither. As on ext4, an
// fsync of a file covers its own name as well, unless Options.Strict.
//
// After a flush that failed, a later one does not cover what the first should have,
// unless it was written again meanwhile.
//
// # What it does not
//
// Links, special files and extended attributes are refused. Modes, owners and
// times are never lost. The memory of the process that mounts holds the old
// content of what is not flushed.
//
// That process must not map or lock up files of its own mount: a page fault stops
// the very scheduler that has to answer it. Killing it leaves no mount behind: a
// shell that waits for its end takes the mount away.
package powerfs
