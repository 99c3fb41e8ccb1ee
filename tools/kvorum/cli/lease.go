package cli

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

func leaseCommand() *command {
	fs := flagSet()
	id := fs.String("id", "", "grant: under this `ID`, 16 hex digits, instead of one that the server chooses")
	keys := fs.Bool("keys", false, "info: print the lease's keys as well")
	return &command{
		name: "lease", args: "grant|revoke|keepalive|info|list [ARGUMENT...]", summary: "grant, renew, show and end leases",
		least: 1, most: 1 + api.MaxKeepAliveIDs, flags: fs,
		details: "  grant TTL          prints the id of a new lease, which goes on for TTL, such as 5s, after its last renewal\n" +
			"  keepalive ID...    renews leases, once; prints what each has left. Exit code 3 if one is over\n" +
			"  info ID            prints the lease's TTL and what is left of it\n" +
			"  list               prints the ids of all leases\n" +
			"  revoke ID          ends a lease; prints how many keys went with it",
		run: func(ctx context.Context, s *session, args []string) error {
			verb, rest := args[0], args[1:]
			run, ok := map[string]func(context.Context, *session, []string) error{
				"grant":     func(ctx context.Context, s *session, args []string) error { return grantLease(ctx, s, args[0], *id) },
				"info":      func(ctx context.Context, s *session, args []string) error { return leaseInfo(ctx, s, args[0], *keys) },
				"revoke":    revokeLease,
				"keepalive": keepAlive,
				"list":      listLeases,
			}[verb]
			switch {
			case !ok:
				return unknown("lease command", verb, []string{"grant", "revoke", "keepalive", "info", "list"}, "kvorum lease --help")
			case verb == "list" && len(rest) > 0, verb == "keepalive" && len(rest) == 0, verb != "list" && verb != "keepalive" && len(rest) != 1:
				return usagef("%d arguments are given after %s: see kvorum lease --help", len(rest), verb)
			}
			return run(ctx, s, rest)
		},
	}
}

func leaseID(text string) (int64, error) {
	id, err := strconv.ParseUint(text, 16, 64)
	if err != nil || len(text) != 16 || id == 0 {
		return 0, usagef("%q is no lease id: want 16 hex digits", text)
	}
	return int64(id), nil
}

func grantLease(ctx context.Context, s *session, ttl, id string) error {
	d, err := time.ParseDuration(ttl)
	if err != nil || d%time.Millisecond != 0 {
		return usagef("%q is no TTL: want a duration of whole milliseconds, such as 5s", ttl)
	}
	req := &kvpb.LeaseGrantRequest{TtlMillis: d.Milliseconds()}
	if id != "" {
		if req.Id, err = leaseID(id); err != nil {
			return err
		}
	}
	var resp kvpb.LeaseGrantResponse
	if err := s.call(ctx, api.SubjectLeaseGrant, req, &resp); err != nil {
		return err
	}
	return s.print(&resp, fmt.Sprintf("%016x", uint64(resp.GetId())))
}

func revokeLease(ctx context.Context, s *session, args []string) error {
	id, err := leaseID(args[0])
	if err != nil {
		return err
	}
	var resp kvpb.LeaseRevokeResponse
	if err := s.call(ctx, api.SubjectLeaseRevoke, &kvpb.LeaseRevokeRequest{Id: id}, &resp); err != nil {
		return err
	}
	return s.print(&resp, strconv.FormatInt(resp.GetDeleted(), 10))
}

func keepAlive(ctx context.Context, s *session, args []string) error {
	req := &kvpb.LeaseKeepAliveRequest{}
	for _, text := range args {
		id, err := leaseID(text)
		if err != nil {
			return err
		}
		req.Ids = append(req.Ids, id)
	}
	var resp kvpb.LeaseKeepAliveResponse
	if err := s.call(ctx, api.SubjectLeaseKeepAlive, req, &resp); err != nil {
		return err
	}
	var lines []string
	var failed error
	for _, l := range resp.GetLeases() {
		line := fmt.Sprintf("%016x %s", uint64(l.GetId()), duration(l.GetLeftMillis()))
		if l.GetError() != "" {
			line = fmt.Sprintf("%016x %s", uint64(l.GetId()), l.GetError())
			failed = errNo
		}
		lines = append(lines, line)
	}
	if err := s.print(&resp, lines...); err != nil {
		return err
	}
	return failed
}

func leaseInfo(ctx context.Context, s *session, text string, keys bool) error {
	id, err := leaseID(text)
	if err != nil {
		return err
	}
	var resp kvpb.LeaseInfoResponse
	if err := s.call(ctx, api.SubjectLeaseInfo, &kvpb.LeaseInfoRequest{Id: id, Keys: keys}, &resp); err != nil {
		return err
	}
	lines := []string{fmt.Sprintf("%016x ttl %s left %s", uint64(id), duration(resp.GetTtlMillis()), duration(resp.GetLeftMillis()))}
	for _, k := range resp.GetKeys() {
		lines = append(lines, keyText(string(k)))
	}
	return s.print(&resp, lines...)
}

func listLeases(ctx context.Context, s *session, _ []string) error {
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	return each(c.Leases(ctx), 0, func(id int64) error {
		if s.output == "json" {
			return s.json(&kvpb.LeaseState{Id: id})
		}
		_, err := fmt.Fprintf(s.Out, "%016x\n", uint64(id))
		return err
	})
}

func duration(millis int64) time.Duration { return time.Duration(millis) * time.Millisecond }
