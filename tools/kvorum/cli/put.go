package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/client"
)

func putCommand() *command {
	fs := flagSet()
	ifRevision := fs.Int64("if-revision", 0, "only if the key's mod revision is `N`; 0: only if the key does not exist")
	prev := fs.Bool("prev", false, "print the previous value, if there was one")
	ttl := fs.Duration("ttl", 0, "delete the key this `DURATION` after its last put, such as 5s")
	lease := fs.String("lease", "", "attach the key to the lease `ID`, 16 hex digits")
	id := fs.String("id", "", "an id of your own: the put takes effect once, however often the command is repeated")
	return &command{
		name: "put", args: "KEY VALUE", summary: "write a key", least: 2, most: 2, flags: fs,
		details: "VALUE - reads the value from stdin, as it is; one that begins with - goes after --. Prints the revision of the put, or with\n" +
			"--prev the previous value. Exit code 3 if --if-revision does not hold.",
		run: func(ctx context.Context, s *session, args []string) error {
			value, err := s.argument(args[1], api.MaxRequestBytes)
			if err != nil {
				return err
			}
			opts, err := writeOptions(fs.Changed("if-revision"), *ifRevision, *prev, *id)
			if err != nil {
				return err
			}
			if *ttl < 0 || fs.Changed("ttl") && *ttl == 0 {
				return usagef("--ttl %s: want more than 0", *ttl)
			}
			opts = append(opts, client.WithTTL(*ttl))
			if *lease != "" {
				id, err := leaseID(*lease)
				if err != nil {
					return err
				}
				opts = append(opts, client.WithLease(id))
			}
			c, err := s.connect(ctx)
			if err != nil {
				return err
			}
			res, err := c.Put(ctx, args[0], value, opts...)
			if err != nil {
				return err
			}
			return s.printPut(res, *prev)
		},
	}
}

// argument is an argument, or for "-" what stdin has, up to a number of bytes.
func (s *session) argument(arg string, limit int64) ([]byte, error) {
	if arg != "-" {
		return []byte(arg), nil
	}
	data, err := io.ReadAll(io.LimitReader(s.In, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading stdin: %w", err)
	}
	if int64(len(data)) > limit {
		return nil, api.Errorf(api.KindTooLarge, "stdin has more than %d bytes", limit)
	}
	return data, nil
}

func writeOptions(conditional bool, ifRevision int64, prev bool, id string) ([]client.WriteOption, error) {
	var opts []client.WriteOption
	if conditional {
		if ifRevision < 0 {
			return nil, usagef("--if-revision %d: want 0 or more", ifRevision)
		}
		opts = append(opts, client.IfRevision(ifRevision))
	}
	if prev {
		opts = append(opts, client.WithPrev())
	}
	if id != "" {
		opts = append(opts, client.MsgID(id))
	}
	return opts, nil
}

func (s *session) printPut(res *client.PutResult, prev bool) error {
	switch {
	case s.output == "json":
		m := &kvpb.PutResponse{Revision: res.Revision, Kv: res.KV.Proto()}
		if res.Prev != nil {
			m.PrevKv = res.Prev.Proto()
		}
		return s.json(m)
	case s.output == "table" && prev && res.Prev != nil:
		return s.table(kvHeading, []string{kvRow(*res.Prev)})
	case !prev:
		_, err := fmt.Fprintln(s.Out, res.Revision)
		return err
	case res.Prev == nil:
		return nil
	}
	return s.printValue(res.Prev.Value)
}

// printValue prints a value as it is, and ends the line on the way.
func (s *session) printValue(value []byte) error {
	_, err := s.Out.Write(append(value[:len(value):len(value)], '\n'))
	return err
}
