package main

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// requirement lists for the modules that other people's programs import: every
// module that their go.mod may name, indirect ones included.
var requirements = map[string][]string{
	"libs/api/go.mod": {protobuf, "github.com/google/go-cmp"},
	"libs/client/go.mod": {
		module + "/libs/api", natsClient, protobuf,
		// What nats.go itself requires.
		"github.com/klauspost/compress", "github.com/nats-io/nkeys", "github.com/nats-io/nuid",
		"golang.org/x/crypto", "golang.org/x/sys", "github.com/google/go-cmp",
	},
}

// apart are modules outside the workspace, whose requirements would otherwise
// decide the versions that are shipped.
var apart = []string{"tools/bench/go.mod"}

var (
	requireLine = regexp.MustCompile(`(?m)^(?:require\s+|\t)([a-z0-9.-]+\.[a-z]+/\S+) v\S+`)
	replaceLine = regexp.MustCompile(`(?m)^(?:replace\s+|\t)(\S+) => (\S+)$`)
	useLine     = regexp.MustCompile(`(?m)^(?:use\s+|\t)(\./\S*|\.)$`)
	goLine      = regexp.MustCompile(`(?m)^go (\S+)$`)
)

func checkModules(t *tree, report func(string, string, ...any)) {
	var workspace string
	var used []string
	for _, f := range t.files {
		if f.path == "go.work" {
			workspace = first(goLine.FindSubmatch(f.content))
			for _, m := range useLine.FindAllSubmatch(f.content, -1) {
				used = append(used, path.Join(string(m[1]), "go.mod"))
			}
		}
	}
	for _, f := range t.files {
		if path.Base(f.path) != "go.mod" {
			continue
		}
		if !slices.Contains(used, f.path) && !slices.Contains(apart, f.path) {
			report(f.path, "go.work does not use this module")
		}
		if v := first(goLine.FindSubmatch(f.content)); v != workspace {
			report(f.path, "go %s, but go.work says go %s", v, workspace)
		}
		replaced := map[string]string{}
		for _, m := range replaceLine.FindAllSubmatch(f.content, -1) {
			replaced[string(m[1])] = string(m[2])
		}
		allowed, fixed := requirements[f.path]
		for _, m := range requireLine.FindAllSubmatch(f.content, -1) {
			required := string(m[1])
			if dir, ours := strings.CutPrefix(required, module+"/"); ours && path.Join(path.Dir(f.path), replaced[required]) != dir {
				report(f.path, "%s is not replaced by the folder %s", required, dir)
			}
			if fixed && !slices.Contains(allowed, required) {
				report(f.path, "requires %s, which is not among its fixed dependencies", required)
			}
			delete(replaced, required)
		}
		for p := range replaced {
			report(f.path, "replaces %s, which it does not require", p)
		}
	}
}

func first(match [][]byte) string {
	if len(match) < 2 {
		return ""
	}
	return string(match[1])
}
