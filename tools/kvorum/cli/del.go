package cli

import (
	"context"
	"fmt"

	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/client"
)

func delCommand() *command {
	fs := flagSet()
	prefix := fs.Bool("prefix", false, "all keys that begin with KEY, in one revision")
	ifRevision := fs.Int64("if-revision", 0, "only if the key's mod revision is `N`")
	prev := fs.Bool("prev", false, "print what was deleted")
	id := fs.String("id", "", "an id of your own: the delete takes effect once, however often the command is repeated")
	return &command{
		name: "del", args: "KEY", summary: "delete a key, or all keys with a prefix", least: 1, most: 1, flags: fs,
		details: "Prints how many keys were deleted: a key that does not exist is no error. Exit code 3\n" +
			"if --if-revision does not hold.",
		run: func(ctx context.Context, s *session, args []string) error {
			opts, err := writeOptions(fs.Changed("if-revision"), *ifRevision, *prev, *id)
			if err != nil {
				return err
			}
			if *prefix && fs.Changed("if-revision") {
				return usagef("--if-revision is for one key, not for --prefix")
			}
			c, err := s.connect(ctx)
			if err != nil {
				return err
			}
			var res *client.DeleteResult
			if *prefix {
				res, err = c.DeleteRange(ctx, client.Prefix(args[0]), opts...)
			} else {
				res, err = c.Delete(ctx, args[0], opts...)
			}
			if err != nil {
				return err
			}
			return s.printDelete(res, *prev)
		},
	}
}

func (s *session) printDelete(res *client.DeleteResult, prev bool) error {
	switch {
	case s.output == "json":
		m := &kvpb.DeleteRangeResponse{Revision: res.Revision, Deleted: res.Deleted}
		for _, kv := range res.Prev {
			m.PrevKvs = append(m.PrevKvs, kv.Proto())
		}
		return s.json(m)
	case prev:
		var rows []string
		for _, kv := range res.Prev {
			rows = append(rows, kvRow(kv))
		}
		return s.table(kvHeading, rows)
	}
	_, err := fmt.Fprintln(s.Out, res.Deleted)
	return err
}
