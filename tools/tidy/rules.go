package main

import (
	"bytes"
	"go/ast"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Limits of files.
const (
	maxLines = 500
	maxBytes = 256 << 10
)

// rules are all rules of this repository.
var rules = []rule{
	{"layers", "import directions keep the core testable without the world and the public modules cheap; services meet on the wire only", checkLayers},
	{"homes", "a dependency with one home can be replaced there, and nothing that runs in production depends on a tool", checkHomes},
	{"core", "the core is simulated: the same inputs must give the same outputs, so time, chance and I/O come in as arguments", checkCore},
	{"modules", "each module must build without the workspace, and whoever imports the api or the client pays for nothing else", checkModules},
	{"lines", "a file that nobody reads in one sitting is two files", checkLines},
	{"bytes", "a clone carries every large file for ever; generate it or publish it elsewhere", checkBytes},
	{"init", "what runs at import cannot be ordered, configured or tested", checkInit},
	{"docs", "the package comment is where a reader begins: what it is for, what it guarantees, what it does not", checkDocs},
	{"names", "a package is a noun of the field; a grab bag has no reason to refuse anything", checkNames},
	{"paths", "the repository stands alone: a path of somebody's machine means nothing to its reader", checkPaths},
	{"links", "a link that leads nowhere is worse than none", checkLinks},
	{"license", "nobody may use what has no license", checkLicense},
}

func checkLines(t *tree, report func(string, string, ...any)) {
	texts := []string{".go", ".md", ".proto", ".c", ".yml"}
	for _, f := range t.files {
		if n := f.lines(); n > maxLines && !f.generated && slices.Contains(texts, path.Ext(f.path)) {
			report(f.path, "%d lines, at most %d are allowed", n, maxLines)
		}
	}
}

func checkBytes(t *tree, report func(string, string, ...any)) {
	for _, f := range t.files {
		if n := len(f.content); n > maxBytes {
			report(f.path, "%d bytes, at most %d are allowed", n, maxBytes)
		}
	}
}

func checkInit(t *tree, report func(string, string, ...any)) {
	t.goFiles(func(f file) {
		for _, d := range f.syntax.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" && !f.generated {
				report(f.path, "func init")
			}
		}
	})
}

func checkDocs(t *tree, report func(string, string, ...any)) {
	documented := map[string]bool{} // by folder; of generated code the .proto tells
	t.goFiles(func(f file) {
		if !f.test && !f.generated {
			dir := path.Dir(f.path)
			documented[dir] = documented[dir] || f.syntax.Doc.Text() != ""
		}
	})
	for dir, ok := range documented {
		if !ok {
			report(dir, "the package has no comment")
		}
	}
}

func checkNames(t *tree, report func(string, string, ...any)) {
	refused := []string{"util", "utils", "common", "helper", "helpers", "types", "misc", "shared"}
	t.goFiles(func(f file) {
		if name := f.syntax.Name.Name; slices.Contains(refused, name) {
			report(f.path, "a package called %s", name)
		}
	})
}

// outsidePath matches absolute paths below people's folders, and folders beside
// the repository.
var outsidePath = regexp.MustCompile(`(?:^|[^\w.:/@-])(?:/(?:home|work|Users)/\w|\.\./shared[/]|shared[/]design)`)

func checkPaths(t *tree, report func(string, string, ...any)) {
	for _, f := range t.files {
		if m := outsidePath.Find(f.content); m != nil && !bytes.Contains(f.content, []byte{0}) {
			report(f.path, "mentions %q", strings.TrimSpace(string(m)))
		}
	}
}

var markdownLink = regexp.MustCompile(`\]\(([^)#\s]+)(?:#[^)]*)?\)`)

func checkLinks(t *tree, report func(string, string, ...any)) {
	for _, f := range t.files {
		if path.Ext(f.path) != ".md" {
			continue
		}
		for _, m := range markdownLink.FindAllSubmatch(f.content, -1) {
			target := string(m[1])
			if !strings.Contains(target, ":") && !t.paths[path.Join(path.Dir(f.path), target)] {
				report(f.path, "links to %s, which does not exist", target)
			}
		}
	}
}

func checkLicense(t *tree, report func(string, string, ...any)) {
	for _, f := range t.files {
		if f.path == "LICENSE" && bytes.Contains(f.content, []byte("Apache License")) {
			return
		}
	}
	report("LICENSE", "is not there or is not the Apache License")
}
