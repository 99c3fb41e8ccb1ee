package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/client"
	"github.com/kvorum/kvorum/libs/svc"
	"github.com/kvorum/kvorum/tools/kvorum/dev"
)

// Exit codes.
const (
	ExitOK    = svc.ExitOK
	ExitError = svc.ExitFailure
	ExitUsage = svc.ExitUsage
	// ExitNo is the answer "no": the key or lease does not exist, or a condition
	// did not hold.
	ExitNo = 3
)

const (
	serverVariable = "KVORUM_SERVER"
	natsVariable   = "NATS_URL" // as the nats command line has it
	defaultServers = "nats://127.0.0.1:4222,nats://127.0.0.1:4223,nats://127.0.0.1:4224"
)

// errNo ends a command with ExitNo that has printed its answer.
var errNo = errors.New("no")

// Streams are what a process has.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// session is one run of one command.
type session struct {
	Streams
	server  string
	timeout time.Duration
	output  string
	client  *client.Client // nil until connect
}

// command is one of kvorum's commands.
type command struct {
	name, args, summary string
	details             string // for its help
	least, most         int    // positional arguments
	flags               *pflag.FlagSet
	local               bool // takes no global flags
	run                 func(ctx context.Context, s *session, args []string) error
}

// commands are all commands, in the order of the help.
func commands() []*command {
	return []*command{
		putCommand(), getCommand(), delCommand(), listCommand(), txnCommand(), watchCommand(), historyCommand(),
		leaseCommand(), lockCommand(), electCommand(), compactCommand(), statusCommand(), devCommand(), versionCommand(),
	}
}

// Main runs the command line args, without the program's name, and returns the
// exit code.
func Main(ctx context.Context, args []string, streams Streams) int {
	s := &session{Streams: streams}
	err := s.main(ctx, args)
	if s.client != nil {
		s.client.Close()
	}
	return s.exit(err)
}

// exitCode carries the exit code of kvorum dev, or of a command under a lock.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit %d", int(e)) }

func (s *session) exit(err error) int {
	var usage *usageError
	var code exitCode
	switch {
	case err == nil, errors.Is(err, pflag.ErrHelp):
		return ExitOK
	case errors.As(err, &code):
		return int(code)
	case errors.Is(err, errNo):
		return ExitNo
	case errors.As(err, &usage):
		fmt.Fprintf(s.Err, "kvorum: %s\n", oneLine(err))
		return ExitUsage
	}
	fmt.Fprintf(s.Err, "kvorum: %s\n", oneLine(err))
	if errors.Is(err, client.ErrNotFound) || errors.Is(err, client.ErrLeaseNotFound) || errors.Is(err, client.ErrCompareFailed) {
		return ExitNo
	}
	return ExitError
}

// oneLine is an error for people: without the context's error, which the message
// before it says better.
func oneLine(err error) string {
	var e *api.Error
	text := err.Error()
	if errors.As(err, &e) {
		text = e.Error()
	}
	return strings.Join(strings.Fields(text), " ")
}

func (s *session) main(ctx context.Context, args []string) error {
	root := s.globalFlags("kvorum")
	root.SetInterspersed(false)
	root.Usage = func() { s.help() }
	if err := root.Parse(args); err != nil {
		return parseError("", root, err)
	}
	args = root.Args()
	switch {
	case len(args) == 0:
		s.help()
		return &usageError{"name a command: see above"}
	case args[0] == "help" && len(args) == 1:
		s.help()
		return nil
	case args[0] == "help":
		args = []string{args[1], "--help"}
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return s.run(ctx, c, args[1:])
		}
	}
	return unknown("command", args[0], commandNames(), "kvorum help")
}

// run parses a command's arguments and runs it.
func (s *session) run(ctx context.Context, c *command, args []string) error {
	if c.local {
		return c.run(ctx, s, args)
	}
	fs := s.globalFlags("kvorum " + c.name)
	if c.flags != nil {
		fs.AddFlagSet(c.flags)
	}
	fs.Usage = func() { s.commandHelp(c) }
	if err := fs.Parse(args); err != nil {
		return parseError(c.name, fs, err)
	}
	if n := fs.NArg(); n < c.least || n > c.most {
		return usagef("%d arguments are given: usage: kvorum %s %s", n, c.name, c.args)
	}
	if s.output != "" && s.output != "json" && s.output != "table" {
		return usagef("--output %s: want json or table", s.output)
	}
	if s.timeout <= 0 {
		return usagef("--timeout %s: want more than 0", s.timeout)
	}
	return c.run(ctx, s, fs.Args())
}

// globalFlags is a flag set with the flags of all commands; those given before
// the command are its defaults.
func (s *session) globalFlags(name string) *pflag.FlagSet {
	fs := pflag.NewFlagSet(name, pflag.ContinueOnError)
	fs.SortFlags = false
	fs.SetOutput(io.Discard)
	if s.server == "" {
		s.server, s.timeout = defaultServers, client.DefaultTimeout
		s.server = cmp.Or(os.Getenv(serverVariable), os.Getenv(natsVariable), s.server)
	}
	fs.StringVar(&s.server, "server", s.server, "NATS `URLs` of the cluster, separated by commas; also $"+serverVariable+" or $"+natsVariable)
	fs.DurationVar(&s.timeout, "timeout", s.timeout, "how long each request is tried")
	fs.StringVarP(&s.output, "output", "o", s.output, "json or table")
	return fs
}

// connect connects to the cluster.
func (s *session) connect(ctx context.Context) (*client.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	c, err := client.Connect(ctx, s.server, client.Timeout(s.timeout))
	s.client = c
	return c, err
}

// call connects and sends one message.
func (s *session) call(ctx context.Context, subject string, req, resp proto.Message) error {
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	return c.Call(ctx, subject, req, resp)
}

// devCommand runs a cluster on this machine; it parses its own flags.
func devCommand() *command {
	return &command{
		name: "dev", summary: "run a whole cluster on this machine", local: true,
		run: func(ctx context.Context, s *session, args []string) error {
			if code := dev.Main(ctx, args, s.Out, s.Err); code != ExitOK {
				return exitCode(code)
			}
			return nil
		},
	}
}

func versionCommand() *command {
	return &command{
		name: "version", summary: "print the version",
		run: func(_ context.Context, s *session, _ []string) error {
			_, err := fmt.Fprintln(s.Out, "kvorum", svc.Version)
			return err
		},
	}
}
