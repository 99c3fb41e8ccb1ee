package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/client"
)

func statusCommand() *command {
	fs := flagSet()
	check := fs.Bool("check", false, "print nothing; exit code 0 if the node serves linearizable requests, else 1")
	node := fs.String("node", "", "ask the node called `NAME`; with --check, by default the one that is connected to")
	return &command{
		name: "status", summary: "show the members of the cluster", flags: fs,
		details: "A line for each member, as it answers itself. DIGEST is of the state at APPLIED: two\n" +
			"members with the same APPLIED and another DIGEST have diverged. In place of its ROLE a\n" +
			"member is damaged, which answers nothing until it copies its data from the others, or\n" +
			"rebuilding, which does so; why is told below.",
		run: func(ctx context.Context, s *session, _ []string) error {
			c, err := s.connect(ctx)
			if err != nil {
				return err
			}
			switch {
			case *check:
				return checkNode(ctx, c, *node)
			case *node != "":
				one, err := c.StatusOf(ctx, *node)
				if err != nil {
					return err
				}
				if s.output == "json" {
					return s.json(one)
				}
				return s.statusTable([]client.NodeStatus{{Status: one}})
			}
			all, err := c.StatusAll(ctx)
			if err != nil {
				return err
			}
			return s.printStatus(all)
		},
	}
}

// checkNode is the health check of a container.
func checkNode(ctx context.Context, c *client.Client, node string) error {
	if node == "" {
		node = c.Conn().ConnectedServerName()
	}
	status, err := c.StatusOf(ctx, node)
	switch {
	case err != nil:
		return err
	case !status.GetReady():
		return api.Errorf(api.KindUnavailable, "%s is not ready: leader %q, alarms %v", node, status.GetLeader(), status.GetAlarms())
	}
	return nil
}

// printStatus prints all members; in JSON an object a line, of those that
// answer.
func (s *session) printStatus(all []client.NodeStatus) error {
	var silent []string
	for _, n := range all {
		if n.Err != nil {
			silent = append(silent, n.Member.GetName())
		} else if s.output == "json" {
			if err := s.json(n.Status); err != nil {
				return err
			}
		}
	}
	if s.output != "json" {
		if err := s.statusTable(all); err != nil {
			return err
		}
	}
	if len(silent) > 0 {
		return fmt.Errorf("no answer from %s: check that it runs and can be reached", strings.Join(silent, ", "))
	}
	return nil
}

func (s *session) statusTable(all []client.NodeStatus) error {
	var rows, reasons []string
	for _, n := range all {
		rows = append(rows, statusRow(n))
		if why := n.Status.GetStateReason(); why != "" {
			reasons = append(reasons, fmt.Sprintf("%s is %s: %s", n.Status.GetNode(), n.Status.GetState(), why))
		}
	}
	if err := s.table(statusHeading, rows); err != nil {
		return err
	}
	for _, r := range reasons {
		if _, err := fmt.Fprintln(s.Out, r); err != nil {
			return err
		}
	}
	return nil
}

const statusHeading = "NODE\tROLE\tREADY\tTERM\tREVISION\tCOMPACTED\tAPPLIED\tCOMMIT\tCHECKPOINT\tLOG\tSTATE\tFREE\tDIGEST\tALARMS"

func statusRow(n client.NodeStatus) string {
	st := n.Status
	if n.Err != nil {
		return n.Member.GetName() + "\tno answer" + strings.Repeat("\t-", strings.Count(statusHeading, "\t")-1)
	}
	role := "follower"
	switch {
	case st.GetState() == api.StateDamaged || st.GetState() == api.StateRebuilding:
		role = st.GetState()
	case st.GetLeader() == st.GetNode():
		role = "leader"
	case n.Member.GetLearner():
		role = "learner"
	}
	alarms := strings.Join(st.GetAlarms(), ",")
	if alarms == "" {
		alarms = "-"
	}
	return fmt.Sprintf("%s\t%s\t%v\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t%.16s\t%s", st.GetNode(), role, st.GetReady(), st.GetTerm(),
		st.GetRevision(), st.GetCompacted(), st.GetAppliedIndex(), st.GetCommitIndex(), st.GetCheckpointIndex(),
		size(st.GetLogBytes()), size(st.GetStateBytes()), size(st.GetFreeBytes()), st.GetDigest(), alarms)
}

// size is a number of bytes for people.
func size(n uint64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n)/1024, 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	return fmt.Sprintf("%.1f %ciB", f, units[i])
}
