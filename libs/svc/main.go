package svc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/pflag"
)

// Version is the version of all binaries; the build sets it with
// -ldflags "-X github.com/kvorum/kvorum/libs/svc.Version=...".
var Version = "dev"

// Exit codes of every binary.
const (
	ExitOK      = 0
	ExitFailure = 1 // it ran and failed; the last line on stderr says why
	ExitUsage   = 2 // it was called wrongly; nothing was done
)

// ErrDone is returned by a run function that has answered all it was asked,
// such as --version: exit code 0.
var ErrDone = errors.New("done")

type usageError struct{ msg string }

func (e *usageError) Error() string { return e.msg }

// Usagef makes an error that ends the process with ExitUsage.
func Usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// Main runs a service and ends the process. run gets the arguments without the
// program's name and a context that the first SIGINT or SIGTERM cancels; it
// then has as long as it needs to stop in order. A second signal ends the
// process with ExitFailure.
func Main(name string, run func(ctx context.Context, args []string) error) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancel(context.Background())
	boundMemory(ctx)
	go func() {
		s := <-signals
		slog.Info("stopping", "signal", s.String())
		cancel()
		s = <-signals
		fmt.Fprintf(os.Stderr, "%s: %s again: leaving without a clean stop\n", name, s)
		os.Exit(ExitFailure)
	}()
	os.Exit(exitCode(ctx, os.Stderr, name, run(ctx, os.Args[1:])))
}

// exitCode turns the outcome of run into the process's, and prints a failure.
// A run that ends with the context's own error after a signal has stopped as
// it was told to.
func exitCode(ctx context.Context, stderr io.Writer, name string, err error) int {
	var usage *usageError
	switch {
	case err == nil, errors.Is(err, ErrDone), errors.Is(err, pflag.ErrHelp):
		return ExitOK
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return ExitOK
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "%s: %s (try --help)\n", name, oneLine(err))
		return ExitUsage
	}
	fmt.Fprintf(stderr, "%s: %s\n", name, oneLine(err))
	return ExitFailure
}

func oneLine(err error) string {
	return strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}
