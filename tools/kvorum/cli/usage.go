package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"
)

// usageError is a command line that makes no sense; nothing was done.
type usageError struct{ message string }

func (e *usageError) Error() string { return e.message }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// parseError is what is wrong with flags, with the nearest one for a typing
// mistake.
func parseError(command string, fs *pflag.FlagSet, err error) error {
	var notExist *pflag.NotExistError
	help := strings.TrimSpace("kvorum " + command + " --help")
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return err
	case errors.As(err, &notExist) && notExist.GetSpecifiedShortnames() == "":
		var names []string
		fs.VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
		return unknown("flag", "--"+notExist.GetSpecifiedName(), names, help)
	}
	return usagef("%v: see %s", err, help)
}

// unknown is the error for a name that is not among names.
func unknown(what, name string, names []string, help string) error {
	if near := nearest(name, names); near != "" {
		return usagef("unknown %s %s: did you mean %s?", what, name, near)
	}
	return usagef("unknown %s %s: see %s", what, name, help)
}

// nearest is the name at the smallest edit distance, "" if all are far.
func nearest(name string, names []string) string {
	best, found := 1+len(name)/3, ""
	for _, n := range names {
		if d := distance(name, n); d <= best && (found == "" || d < best) {
			best, found = d, n
		}
	}
	return found
}

// distance counts the bytes to insert, delete, replace or swap with their
// neighbour.
func distance(a, b string) int {
	before, row := []int(nil), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next := make([]int, len(b)+1)
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}

func commandNames() []string {
	names := []string{"help"}
	for _, c := range commands() {
		names = append(names, c.name)
	}
	return names
}

// help is the help of the program.
func (s *session) help() {
	fmt.Fprint(s.Out, "Kvorum keeps coordination data: quorum writes, fresh reads, pushed changes, over NATS.\n\nusage: kvorum COMMAND [flags] [arguments]\n\n")
	for _, c := range commands() {
		fmt.Fprintf(s.Out, "  %-24s %s\n", strings.TrimSpace(c.name+" "+c.args), c.summary)
	}
	fmt.Fprintf(s.Out, "\nKeys are given as they are: /db/primary. Flags of all commands:\n%s", s.globalFlags("").FlagUsages())
	fmt.Fprint(s.Out, "\nExit codes: 0 done; 1 it failed, and stderr says why; 2 the command line is wrong;\n"+
		"3 the key or lease does not exist or the condition did not hold.\nkvorum COMMAND --help tells more.\n")
}

// commandHelp is the help of a command.
func (s *session) commandHelp(c *command) {
	fmt.Fprintf(s.Out, "%s\n\nusage: kvorum %s\n", strings.ToUpper(c.summary[:1])+c.summary[1:]+".", strings.TrimSpace(c.name+" [flags] "+c.args))
	if c.details != "" {
		fmt.Fprintf(s.Out, "\n%s\n", c.details)
	}
	if c.flags != nil {
		fmt.Fprintf(s.Out, "\n%s", c.flags.FlagUsages())
	}
	fmt.Fprintf(s.Out, "\nOf all commands:\n%s", s.globalFlags("").FlagUsages())
}

// flagSet is the flag set of a command's own flags.
func flagSet() *pflag.FlagSet {
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	fs.SortFlags = false
	return fs
}
