package mutant_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// read gives a file of the repository by its path from here.
func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestTrackRecord: every mistake can be planted and is in the table, and the
// table speaks of no other.
func TestTrackRecord(t *testing.T) {
	list, table := read(t, "all.go"), read(t, "../../../docs/track-record.md")
	rows := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\|").FindAllStringSubmatch(table, -1) {
		rows[row[1]] = true
	}
	for _, bug := range regexp.MustCompile(`(?m)^\t(\w+) Bug = "(.*)"$`).FindAllStringSubmatch(read(t, "bugs.go"), -1) {
		if !regexp.MustCompile(`\b` + bug[1] + `,`).MatchString(list) {
			t.Errorf("%s is not in All", bug[1])
		}
		if !rows[bug[2]] {
			t.Errorf("%s has no row in the table", bug[2])
		}
		delete(rows, bug[2])
	}
	for name := range rows {
		t.Errorf("the table has a row for %s, which does not exist", name)
	}
	if !strings.Contains(table, "#13766") {
		t.Error("the table lost its field record")
	}
}
