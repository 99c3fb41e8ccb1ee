package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// tree is the repository as the rules see it.
type tree struct {
	files []file
	paths map[string]bool // of files and folders
}

// file is one file of the repository.
type file struct {
	path      string
	content   []byte
	generated bool
	test      bool
	syntax    *ast.File // for Go, else nil
}

// skipped are the folders that hold no sources: what git and the build make.
var skipped = map[string]bool{".git": true, "bin": true, "data": true}

// load reads every file below fsys but those in skipped folders of the root.
func load(fsys fs.FS) (*tree, error) {
	t := &tree{paths: map[string]bool{}}
	err := fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		t.paths[p] = true
		if d.IsDir() {
			if skipped[p] {
				return fs.SkipDir
			}
			return nil
		}
		content, err := fs.ReadFile(fsys, p)
		if err != nil {
			return err
		}
		f := file{path: p, content: content, test: strings.HasSuffix(p, "_test.go")}
		if path.Ext(p) == ".go" && !strings.Contains(p, "testdata/") {
			f.syntax, err = parser.ParseFile(token.NewFileSet(), p, content, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				return fmt.Errorf("parsing: %w", err)
			}
			f.generated = ast.IsGenerated(f.syntax)
		}
		t.files = append(t.files, f)
		return nil
	})
	return t, err
}

// goFiles calls fn for each Go file.
func (t *tree) goFiles(fn func(f file)) {
	for _, f := range t.files {
		if f.syntax != nil {
			fn(f)
		}
	}
}

// imports are the paths that a Go file imports, by the name it uses for them.
func (f file) imports() map[string]string {
	m := map[string]string{}
	for _, spec := range f.syntax.Imports {
		p, _ := strconv.Unquote(spec.Path.Value)
		name := path.Base(p)
		if strings.HasPrefix(name, "v") && strings.Trim(name[1:], "0123456789") == "" {
			name = path.Base(path.Dir(p))
		}
		if spec.Name != nil {
			name = spec.Name.Name
		}
		if name == "_" || name == "." {
			name += p // any number of packages may be imported so
		}
		m[name] = p
	}
	return m
}

// lines is how many lines a file has.
func (f file) lines() int { return bytes.Count(f.content, []byte{'\n'}) }

// within reports whether p is the folder or import path dir or below it.
func within(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }

// withinAny reports whether p is within one of dirs.
func withinAny(p string, dirs []string) bool {
	for _, d := range dirs {
		if within(p, d) {
			return true
		}
	}
	return false
}
