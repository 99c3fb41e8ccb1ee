package svc

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/pflag"
)

// Flags is a flag set that already has what every service has: --log-level,
// --pprof-listen and --version. The caller adds its own and calls Parse.
func Flags(name string) *pflag.FlagSet {
	fs := pflag.NewFlagSet(name, pflag.ContinueOnError)
	fs.SortFlags = false
	fs.String("log-level", "info", "least level that is logged: debug, info, warn, error")
	fs.String("pprof-listen", "", "loopback host:port for profiles of this process (go tool pprof); empty: none")
	fs.Bool("version", false, "print the version and leave")
	return fs
}

// Parse parses args into a set made by Flags and makes the process's default
// logger one that writes text to stderr from --log-level on. It returns a usage
// error for unknown flags, bad values and positional arguments, and ErrDone
// after it has printed the version to stdout.
func Parse(fs *pflag.FlagSet, args []string) error {
	return parse(fs, args, os.Stdout, os.Stderr)
}

func parse(fs *pflag.FlagSet, args []string, stdout, stderr io.Writer) error {
	fs.SetOutput(stdout)
	fs.Usage = func() { fmt.Fprintf(stdout, "usage: %s [flags]\n%s", fs.Name(), fs.FlagUsages()) }
	if err := fs.Parse(args); err != nil {
		if err == pflag.ErrHelp {
			return err
		}
		return Usagef("%v", err)
	}
	if show, _ := fs.GetBool("version"); show {
		fmt.Fprintln(stdout, fs.Name(), Version)
		return ErrDone
	}
	if fs.NArg() > 0 {
		return Usagef("unexpected argument %q", fs.Arg(0))
	}
	level, _ := fs.GetString("log-level")
	logger, err := NewLogger(stderr, level)
	if err != nil {
		return err
	}
	slog.SetDefault(logger)
	if address, _ := fs.GetString("pprof-listen"); address != "" {
		return servePprof(address)
	}
	return nil
}

// NewLogger logs as text to w from a level on: debug, info, warn or error.
// Another level is a usage error.
func NewLogger(w io.Writer, level string) (*slog.Logger, error) {
	levels := map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	}
	l, ok := levels[strings.ToLower(level)]
	if !ok {
		return nil, Usagef("--log-level %q: want debug, info, warn or error", level)
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: l})), nil
}
