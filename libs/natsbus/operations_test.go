package natsbus

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Every request subject that the contract names is a known operation: one that
// is missing here would be answered as unknown.
func TestOperationsAreTheContracts(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../api/names.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) == 0 {
			return true
		}
		lit, ok := spec.Values[0].(*ast.BasicLit)
		if !ok {
			return true
		}
		subject, err := strconv.Unquote(lit.Value)
		if err != nil || !strings.HasPrefix(spec.Names[0].Name, "Subject") || !strings.HasPrefix(subject, "kv.") {
			return true
		}
		found++
		if !slices.Contains(Operations, subject) {
			t.Errorf("%s = %q is not among Operations", spec.Names[0].Name, subject)
		}
		return true
	})
	if found != len(Operations) {
		t.Errorf("the contract names %d request subjects, Operations has %d", found, len(Operations))
	}
}
