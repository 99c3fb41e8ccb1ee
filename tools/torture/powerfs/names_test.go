//go:build linux

package powerfs

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestReplace: a file replaced by rename is the old or the new one, whole; after
// a flush of the directory always the new one.
func TestReplace(t *testing.T) {
	disk, dir := mounted(t, Options{})
	path := filepath.Join(dir, "file")
	before, after := bytes.Repeat([]byte("old"), 5000), bytes.Repeat([]byte("new"), 4000)
	seen := make(map[string]int)
	for seed := range uint64(40) {
		write(t, path, before, true)
		syncDir(t, dir)
		write(t, path+".new", after, true)
		ok(t, os.Rename(path+".new", path))
		if seed%4 == 0 {
			syncDir(t, dir)
		}
		cut(t, disk, newRand(seed))
		got, err := os.ReadFile(path)
		ok(t, err)
		switch {
		case bytes.Equal(got, after):
			seen["new"]++
		case bytes.Equal(got, before) && seed%4 != 0:
			seen["old"]++
		default:
			t.Fatalf("seed %d: %.20q", seed, got)
		}
	}
	if len(seen) != 2 {
		t.Errorf("seen: %v", seen)
	}
}

// TestNames: creations, renames and removals that were not flushed are undone
// from some one on, in their order.
func TestNames(t *testing.T) {
	disk, dir := mounted(t, Options{Strict: true})
	seen := make(map[int]bool)
	for seed := range uint64(60) {
		sub := filepath.Join(dir, fmt.Sprint(seed))
		ok(t, os.Mkdir(sub, 0o700))
		syncDir(t, dir)
		write(t, filepath.Join(sub, "0"), []byte("x"), true)
		syncDir(t, sub)
		const steps = 6
		for n := range steps {
			ok(t, os.Rename(filepath.Join(sub, fmt.Sprint(n)), filepath.Join(sub, fmt.Sprint(n+1))))
		}
		ok(t, os.Remove(filepath.Join(sub, fmt.Sprint(steps))))
		cut(t, disk, newRand(seed))
		entries, err := os.ReadDir(sub)
		ok(t, err)
		switch len(entries) {
		case 0:
			seen[-1] = true
		case 1:
			var n int
			fmt.Sscan(entries[0].Name(), &n)
			seen[n] = true
			if got, err := os.ReadFile(filepath.Join(sub, entries[0].Name())); err != nil || string(got) != "x" {
				t.Fatalf("seed %d: %q, %v", seed, got, err)
			}
		default:
			t.Fatalf("seed %d: %v", seed, entries)
		}
	}
	if !seen[-1] || !seen[0] || len(seen) < 4 {
		t.Errorf("seen: %v", seen)
	}
}

// TestNameOfFlushedFile: a flush of a new file covers its name, as on ext4,
// unless the disk is strict.
func TestNameOfFlushedFile(t *testing.T) {
	for _, strict := range []bool{false, true} {
		disk, dir := mounted(t, Options{Strict: strict})
		lost := 0
		for seed := range uint64(20) {
			sub := filepath.Join(dir, fmt.Sprint(seed))
			ok(t, os.MkdirAll(filepath.Join(sub, "below"), 0o700))
			write(t, filepath.Join(sub, "below", "file"), []byte("x"), true)
			cut(t, disk, newRand(seed))
			if _, err := os.Stat(filepath.Join(sub, "below", "file")); err != nil {
				lost++
			}
		}
		if strict != (lost > 0) {
			t.Errorf("strict %v: %d of 20 lost", strict, lost)
		}
	}
}
