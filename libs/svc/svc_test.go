package svc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/pflag"
)

func TestExitCode(t *testing.T) {
	live := context.Background()
	stopped, cancel := context.WithCancel(live)
	cancel()
	tests := []struct {
		name   string
		ctx    context.Context
		err    error
		code   int
		stderr string
	}{
		{"clean", live, nil, ExitOK, ""},
		{"done", live, ErrDone, ExitOK, ""},
		{"help", live, pflag.ErrHelp, ExitOK, ""},
		{"signal", stopped, fmt.Errorf("serve: %w", context.Canceled), ExitOK, ""},
		{"cancelled by nobody", live, context.Canceled, ExitFailure, "x: context canceled\n"},
		{"failure", live, errors.New("disk\nis full\n"), ExitFailure, "x: disk; is full\n"},
		{"failure while stopping", stopped, errors.New("disk is full"), ExitFailure, "x: disk is full\n"},
		{"usage", live, fmt.Errorf("x: %w", Usagef("no %s", "--name")), ExitUsage, "x: x: no --name (try --help)\n"},
	}
	for _, tt := range tests {
		var stderr bytes.Buffer
		if code := exitCode(tt.ctx, &stderr, "x", tt.err); code != tt.code || stderr.String() != tt.stderr {
			t.Errorf("%s: code %d, stderr %q; want %d, %q", tt.name, code, &stderr, tt.code, tt.stderr)
		}
	}
}

func TestParse(t *testing.T) {
	previous := slog.Default()
	defer slog.SetDefault(previous)
	tests := []struct {
		args   string
		code   int
		stdout string // that it contains
	}{
		{"--name n --log-level DEBUG", ExitOK, ""},
		{"--version", ExitOK, "test dev"},
		{"--help", ExitOK, "--name"},
		{"--nmae n", ExitUsage, ""},
		{"--log-level loud", ExitUsage, ""},
		{"--name n serve", ExitUsage, ""},
	}
	for _, tt := range tests {
		fs := Flags("test")
		fs.String("name", "", "the name")
		var stdout, stderr bytes.Buffer
		err := parse(fs, strings.Fields(tt.args), &stdout, &stderr)
		if code := exitCode(context.Background(), &stderr, "test", err); code != tt.code {
			t.Errorf("%s: code %d, want %d (%v)", tt.args, code, tt.code, err)
		}
		if !strings.Contains(stdout.String(), tt.stdout) {
			t.Errorf("%s: stdout %q lacks %q", tt.args, &stdout, tt.stdout)
		}
	}
}

func TestReadSecret(t *testing.T) {
	previous := slog.Default()
	defer slog.SetDefault(previous)
	tests := []struct {
		name, content string
		mode          os.FileMode
		want          string // the secret, or
		err           string // what the error contains
		log           string // what the log contains
	}{
		{"trimmed", " 0123456789abcdef\r\n", 0o600, "0123456789abcdef", "", ""},
		{"open to others", "0123456789abcdef", 0o644, "0123456789abcdef", "", "chmod 600"},
		{"published", "development-only-0123", 0o600, "development-only-0123", "", "everybody knows"},
		{"short", "0123456789abcde", 0o600, "", "15 bytes, want at least 16", ""},
		{"empty", "\n", 0o600, "", "0 bytes", ""},
		{"two lines", "0123456789abcdef\n0123456789abcdef", 0o600, "", "one line", ""},
		{"long", strings.Repeat("x", MaxSecretBytes+1), 0o600, "", "more than", ""},
		{"very long", strings.Repeat("x", MaxSecretBytes*3), 0o600, "", "more than", ""},
	}
	for _, tt := range tests {
		path := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(path, []byte(tt.content), tt.mode); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
		got, err := ReadSecret(path)
		if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %q, %v; want %q, %q", tt.name, got, err, tt.want, tt.err)
		}
		if (log.Len() > 0) != (tt.log != "") || !strings.Contains(log.String(), tt.log) {
			t.Errorf("%s: log %q, want %q", tt.name, &log, tt.log)
		}
	}
	if _, err := ReadSecret(t.TempDir()); err == nil || !strings.Contains(err.Error(), "directory") {
		t.Errorf("a directory: %v", err)
	}
	if _, err := ReadSecret("/no/such/file"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

// TestSignals runs Main in a child process: the first signal cancels, and a run
// that does not stop is ended by the second.
func TestSignals(t *testing.T) {
	if mode := os.Getenv("SVC_TEST_CHILD"); mode != "" {
		Main("child", func(ctx context.Context, _ []string) error {
			fmt.Println("up")
			<-ctx.Done()
			fmt.Println("stopping")
			if mode == "hang" {
				select {}
			}
			return ctx.Err()
		})
	}
	for _, tt := range []struct {
		mode    string
		signals int
		code    int
	}{{"stop", 1, ExitOK}, {"hang", 2, ExitFailure}} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestSignals$")
		cmd.Env = append(os.Environ(), "SVC_TEST_CHILD="+tt.mode)
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{"up", "stopping"} {
			var line string
			if _, err := fmt.Fscanln(stdout, &line); err != nil || line != want {
				t.Fatalf("%s: %q, %v; want %q", tt.mode, line, err, want)
			}
			if i < tt.signals {
				if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
					t.Fatal(err)
				}
			}
		}
		cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != tt.code {
			t.Errorf("%s: exit code %d, want %d", tt.mode, code, tt.code)
		}
	}
}

// Ports that are given out are not those of outgoing connections, and no two
// listeners get the same.
func TestListenFree(t *testing.T) {
	seen := map[int]bool{}
	for range 20 {
		l, err := ListenFree()
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		port := l.Addr().(*net.TCPAddr).Port
		if port < firstFreePort || port >= lastFreePort || seen[port] {
			t.Errorf("port %d", port)
		}
		seen[port] = true
	}
}
