package cli

import (
	"context"

	"github.com/spf13/pflag"

	"github.com/kvorum/kvorum/libs/client"
)

// readFlags are the flags of commands that read.
type readFlags struct {
	revision, minRevision int64
	serializable          bool
}

func (r *readFlags) add(fs *pflag.FlagSet) {
	fs.Int64Var(&r.revision, "revision", 0, "read as of revision `N`")
	fs.BoolVar(&r.serializable, "serializable", false, "let any node answer at once, possibly from the past; works without a quorum")
	fs.Int64Var(&r.minRevision, "min-revision", 0, "serializable, but at least as new as revision `N`")
}

func (r *readFlags) options() ([]client.ReadOption, error) {
	if r.revision < 0 || r.minRevision < 0 {
		return nil, usagef("a revision is not negative")
	}
	opts := []client.ReadOption{client.AtRevision(r.revision)}
	if r.serializable {
		opts = append(opts, client.Serializable())
	}
	if r.minRevision > 0 {
		opts = append(opts, client.MinRevision(r.minRevision))
	}
	return opts, nil
}

func getCommand() *command {
	var reads readFlags
	fs := flagSet()
	prefix := fs.Bool("prefix", false, "all keys that begin with KEY, as list does")
	reads.add(fs)
	return &command{
		name: "get", args: "KEY", summary: "read a key", least: 1, most: 1, flags: fs,
		details: "Prints the value and a line feed; with --output, all of the key. Exit code 3 if the\n" +
			"key does not exist.",
		run: func(ctx context.Context, s *session, args []string) error {
			opts, err := reads.options()
			if err != nil {
				return err
			}
			c, err := s.connect(ctx)
			if err != nil {
				return err
			}
			if *prefix {
				return s.printList(c.List(ctx, client.Prefix(args[0]), opts...), 0)
			}
			kv, err := c.Get(ctx, args[0], opts...)
			if err != nil {
				return err
			}
			switch s.output {
			case "json":
				return s.json(kv.Proto())
			case "table":
				return s.table(kvHeading, []string{kvRow(kv)})
			}
			return s.printValue(kv.Value)
		},
	}
}
