package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/kvorum/kvorum/libs/client"
)

const (
	// termPatience is how long a command has to end after SIGTERM.
	termPatience = 5 * time.Second
	// releasePatience bounds giving a name back; it runs out otherwise.
	releasePatience = 3 * time.Second
)

func lockCommand() *command {
	fs := flagSet()
	ttl := fs.Duration("ttl", client.DefaultSessionTTL, "how long the lock stays held after this process died")
	wait := fs.Duration("wait", 0, "how long to wait for the lock; 0: for ever")
	return &command{
		name: "lock", args: "NAME -- COMMAND [ARGUMENT...]", summary: "run a command under a lock", least: 2, most: 1 << 20, flags: fs,
		details: "Waits for the lock NAME, such as /locks/job, in a fair queue, runs the command, and gives the lock to the next. The command\n" +
			"finds the lock's fence in KVORUM_FENCE, its name in KVORUM_LOCK and its lease in KVORUM_LEASE. What it writes is safe against\n" +
			"any delay if it writes under the condition {\"lock\":NAME,\"fence\":FENCE}.\n\n" +
			"When the lock is lost, the command gets SIGTERM, and SIGKILL 5 s later; so it does when kvorum itself is asked to end. The exit\n" +
			"code is the command's, 128 and the signal's number if a signal ended it, 1 if the lock was lost, 3 if --wait was not enough.",
		run: func(ctx context.Context, s *session, args []string) error {
			if *wait < 0 {
				return usagef("--wait %s: want 0 or more", *wait)
			}
			return s.withSession(ctx, *ttl, func(held *client.Session) error {
				m := client.NewMutex(held, args[0])
				if err := lockWithin(ctx, m, args[0], *wait); err != nil {
					return err
				}
				err := s.runUnder(ctx, m, held.Lease(), args)
				release, cancel := context.WithTimeout(context.WithoutCancel(ctx), releasePatience)
				defer cancel()
				_ = m.Unlock(release) // closing the session does it otherwise
				return err
			})
		},
	}
}

// withSession runs fn with a session, which it ends afterwards.
func (s *session) withSession(ctx context.Context, ttl time.Duration, fn func(*client.Session) error) error {
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	held, err := c.NewSession(ctx, client.SessionTTL(ttl))
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releasePatience)
		defer cancel()
		_ = held.Close(ctx)
	}()
	return fn(held)
}

func lockWithin(ctx context.Context, m *client.Mutex, name string, wait time.Duration) error {
	limited, cancel := ctx, context.CancelFunc(func() {})
	if wait > 0 {
		limited, cancel = context.WithTimeout(ctx, wait)
	}
	defer cancel()
	_, err := m.Lock(limited)
	if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: %s is held by another for more than %s", errNo, name, wait)
	}
	return err
}

// runUnder runs a command while a lock is held.
func (s *session) runUnder(ctx context.Context, m *client.Mutex, lease int64, args []string) error {
	cmd := exec.Command(args[1], args[2:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.In, s.Out, s.Err
	cmd.Env = append(os.Environ(), fmt.Sprintf("KVORUM_FENCE=%d", m.Fence()), "KVORUM_LOCK="+args[0], fmt.Sprintf("KVORUM_LEASE=%016x", uint64(lease)))
	cmd.SysProcAttr = childAttributes(s.In)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("the command cannot be started: %w", err)
	}
	ended := make(chan struct{})
	var err error
	go func() {
		err = cmd.Wait()
		close(ended)
	}()
	var lost error
	select {
	case <-ended:
	case <-m.Done():
		lost = m.Err()
		fmt.Fprintf(s.Err, "kvorum: the lock is lost, the command is ended: %s\n", oneLine(lost))
		end(cmd, ended)
	case <-ctx.Done():
		end(cmd, ended)
	}
	if code := codeOf(cmd, err); code != ExitOK || lost == nil {
		return codeError(code)
	}
	return exitCode(ExitError)
}

// end ends a command in the end.
func end(cmd *exec.Cmd, ended <-chan struct{}) {
	signalChild(cmd, syscall.SIGTERM)
	patience := time.NewTimer(termPatience)
	defer patience.Stop()
	select {
	case <-ended:
	case <-patience.C:
		signalChild(cmd, syscall.SIGKILL)
		<-ended
	}
}

// codeOf is the exit code of a command that ended, as a shell gives it.
func codeOf(cmd *exec.Cmd, err error) int {
	state := cmd.ProcessState
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	if code := state.ExitCode(); code != 0 || err == nil {
		return code
	}
	return ExitError // its output could not be passed on
}

func codeError(code int) error {
	if code == ExitOK {
		return nil
	}
	return exitCode(code)
}
