// Tidy checks the rules of this repository that the compiler does not: who may
// import whom, what stays small, what every package tells its reader. Each rule
// carries its reason, which is printed with every violation.
//
// Run it from anywhere in the repository with "go run ./tools/tidy"; it is a
// test of its own package as well. It reads files only, takes no options, and
// guarantees nothing about what the code does.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "tidy:", err)
		os.Exit(1)
	}
}

func run() error {
	root, err := findRoot()
	if err != nil {
		return err
	}
	violations, err := check(os.DirFS(root), rules)
	if err != nil {
		return err
	}
	for _, v := range violations {
		fmt.Println(v)
	}
	if len(violations) > 0 {
		return fmt.Errorf("%d violations", len(violations))
	}
	return nil
}

// findRoot is the nearest folder above that holds go.work.
func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.work here or above: run it inside the repository")
		}
		dir = parent
	}
}

// check applies rules to the repository in fsys.
func check(fsys fs.FS, rules []rule) ([]violation, error) {
	t, err := load(fsys)
	if err != nil {
		return nil, err
	}
	var violations []violation
	for _, r := range rules {
		r.check(t, func(path, format string, args ...any) {
			violations = append(violations, violation{path, fmt.Sprintf(format, args...), r.reason})
		})
	}
	return violations, nil
}

// rule is one thing that holds everywhere in the repository.
type rule struct {
	name   string
	reason string // why, completing "because"
	check  func(t *tree, report func(path, format string, args ...any))
}

// violation is one place where a rule does not hold.
type violation struct {
	path, what, reason string
}

func (v violation) String() string {
	return fmt.Sprintf("%s: %s\n\tbecause %s", v.path, v.what, v.reason)
}
