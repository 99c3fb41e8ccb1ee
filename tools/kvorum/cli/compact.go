package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/kvorum/kvorum/libs/api/kvpb"
)

func compactCommand() *command {
	fs := flagSet()
	physical := fs.Bool("physical", false, "return only when the space can be used again")
	return &command{
		name: "compact", args: "REVISION", summary: "forget what only reads below a revision can see", least: 1, most: 1, flags: fs,
		details: "REVISION itself stays readable. Prints the compacted revision.",
		run: func(ctx context.Context, s *session, args []string) error {
			revision, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil || revision < 1 {
				return usagef("REVISION %s: want a number of 1 or more", args[0])
			}
			c, err := s.connect(ctx)
			if err != nil {
				return err
			}
			at, err := c.Compact(ctx, revision, *physical)
			switch {
			case err != nil:
				return err
			case s.output == "json":
				return s.json(&kvpb.CompactResponse{Compacted: at})
			}
			_, err = fmt.Fprintln(s.Out, at)
			return err
		},
	}
}
