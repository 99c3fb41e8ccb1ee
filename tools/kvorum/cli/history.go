package cli

import (
	"context"

	"github.com/kvorum/kvorum/libs/client"
)

func historyCommand() *command {
	fs := flagSet()
	prefix := fs.Bool("prefix", false, "all keys that begin with KEY")
	from := fs.Int64("from", 0, "begin with revision `N`, that one included; 0: with the oldest that is not compacted")
	limit := fs.Int64("limit", 0, "at most `N` changes")
	return &command{
		name: "history", args: "[KEY]", summary: "print past changes", most: 1, flags: fs,
		details: "A change a line, as watch prints them. A KEY that ends with / is a prefix.",
		run: func(ctx context.Context, s *session, args []string) error {
			if *from < 0 || *limit < 0 {
				return usagef("--from and --limit are not negative")
			}
			c, err := s.connect(ctx)
			if err != nil {
				return err
			}
			span := spanOf(args, *prefix)
			first := *from
			if first == 0 {
				where, err := c.Sync(ctx, span)
				if err != nil {
					return err
				}
				first = where.Compacted
			}
			return each(c.History(ctx, span, first, client.PageLimit(*limit)), *limit, s.printEvent)
		},
	}
}
