package cli

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/kvorum/kvorum/libs/client"
)

// tableRows is how many rows a table holds to align them; longer ones come in
// parts, so that memory does not grow with the store.
const tableRows = 1000

func listCommand() *command {
	var reads readFlags
	fs := flagSet()
	limit := fs.Int64("limit", 0, "at most `N` keys")
	keys := fs.Bool("keys", false, "the keys only, one a line")
	count := fs.Bool("count", false, "the number of keys only")
	reads.add(fs)
	return &command{
		name: "list", args: "[PREFIX]", summary: "list the keys with a prefix, or all", most: 1, flags: fs,
		details: "All keys are as of one revision. PREFIX is bytes: /db matches /dbx as well, /db/ does not.",
		run: func(ctx context.Context, s *session, args []string) error {
			opts, err := reads.options()
			switch {
			case err != nil:
				return err
			case *limit < 0:
				return usagef("--limit %d: want 0 or more", *limit)
			}
			if *limit > 0 && !*count {
				opts = append(opts, client.Limit(*limit))
			}
			span := client.All()
			if len(args) > 0 {
				span = client.Prefix(args[0])
			}
			c, err := s.connect(ctx)
			if err != nil {
				return err
			}
			switch {
			case *count:
				res, err := c.Range(ctx, span, append(opts, client.CountOnly())...)
				if err == nil {
					_, err = fmt.Fprintln(s.Out, res.Count)
				}
				return err
			case *keys:
				return s.printKeys(c.List(ctx, span, append(opts, client.KeysOnly())...), *limit)
			}
			return s.printList(c.List(ctx, span, opts...), *limit)
		},
	}
}

// printList prints up to limit keys, or all for 0, as a table or an object a
// line.
func (s *session) printList(list iter.Seq2[client.KeyValue, error], limit int64) error {
	var rows []string
	err := each(list, limit, func(kv client.KeyValue) error {
		if s.output == "json" {
			return s.json(kv.Proto())
		}
		if rows = append(rows, kvRow(kv)); len(rows) < tableRows {
			return nil
		}
		part := rows
		rows = nil
		return s.table(kvHeading, part)
	})
	if len(rows) > 0 {
		err = errors.Join(err, s.table(kvHeading, rows))
	}
	return err
}

func (s *session) printKeys(list iter.Seq2[client.KeyValue, error], limit int64) error {
	return each(list, limit, func(kv client.KeyValue) error {
		if s.output == "json" {
			return s.json(kv.Proto())
		}
		_, err := fmt.Fprintln(s.Out, keyText(kv.Key))
		return err
	})
}

// each calls fn with up to limit elements, or all for 0.
func each[T any](list iter.Seq2[T, error], limit int64, fn func(T) error) error {
	var n int64
	for x, err := range list {
		if err != nil {
			return err
		}
		if err := fn(x); err != nil {
			return err
		}
		if n++; n == limit {
			return nil
		}
	}
	return nil
}
