package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/kvorum/kvorum/libs/client"
)

func watchCommand() *command {
	fs := flagSet()
	prefix := fs.Bool("prefix", false, "all keys that begin with KEY")
	from := fs.Int64("from", 0, "begin with revision `N`, that one included; 0: from now on")
	limit := fs.Int64("limit", 0, "stop after `N` changes")
	return &command{
		name: "watch", args: "[KEY]", summary: "print every change of a key, of a prefix, or of all keys", most: 1, flags: fs,
		details: "A change a line: revision, put, delete or expire, key, value. A KEY that ends with / is a prefix.\n" +
			"It goes on over lost connections and failovers until it is interrupted, and misses nothing.",
		run: func(ctx context.Context, s *session, args []string) error {
			if *from < 0 || *limit < 0 {
				return usagef("--from and --limit are not negative")
			}
			c, err := s.connect(ctx)
			if err != nil {
				return err
			}
			w, err := c.Watch(ctx, spanOf(args, *prefix), client.From(*from))
			if err != nil {
				return err
			}
			defer w.Close()
			var n int64
			for r, err := range w.Revisions() {
				if errors.Is(err, context.Canceled) {
					return nil // interrupted, as it is meant to be
				}
				if err != nil {
					return err
				}
				for _, e := range r.Events {
					if err := s.printEvent(e); err != nil {
						return err
					}
					if n++; n == *limit {
						return nil
					}
				}
			}
			return nil
		},
	}
}

// spanOf is the key, prefix or everything that arguments name.
func spanOf(args []string, prefix bool) client.Span {
	switch {
	case len(args) == 0:
		return client.All()
	case prefix || args[0] != "" && args[0][len(args[0])-1] == '/':
		return client.Prefix(args[0])
	}
	return client.Key(args[0])
}

// printEvent prints an event on a line.
func (s *session) printEvent(e client.Event) error {
	if s.output == "json" {
		return s.json(e.Proto())
	}
	var err error
	switch {
	case e.Expired:
		_, err = fmt.Fprintf(s.Out, "%d expire %s\n", e.Position.Revision, keyText(e.KV.Key))
	case e.Delete:
		_, err = fmt.Fprintf(s.Out, "%d delete %s\n", e.Position.Revision, keyText(e.KV.Key))
	default:
		_, err = fmt.Fprintf(s.Out, "%d put %s %s\n", e.Position.Revision, keyText(e.KV.Key), text(string(e.KV.Value)))
	}
	return err
}
