package natsbus

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// serverLog passes a server's log to slog. It is also the only place where the
// server tells two things that it has no API for: that it could not listen,
// and that a route closed.
type serverLog struct {
	log *slog.Logger
	// routeClosed, where set, is called with the name of the other server, or
	// "" where the log does not give it. It must return at once: the server
	// holds locks.
	routeClosed func(remote string)

	once  sync.Once
	fatal chan error // the first fatal message

	mu   sync.Mutex
	last string // the last error or warning: each account's route tells the same
}

func newServerLog(log *slog.Logger, routeClosed func(string)) *serverLog {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &serverLog{log: log, routeClosed: routeClosed, fatal: make(chan error, 1)}
}

const (
	routeClosedText = "Router connection closed"
	routeRemoteText = "Remote: "
)

// expected are warnings of how this package means the server to be: the
// passwords are random and never leave the process, and a Raft message may be large.
var expected = []string{"Plaintext passwords detected", "Maximum payloads over"}

// Noticef implements server.Logger.
func (l *serverLog) Noticef(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	if l.routeClosed != nil && strings.Contains(text, routeClosedText) {
		_, remote, _ := strings.Cut(text, routeRemoteText)
		l.routeClosed(remote)
	}
	l.log.Debug(text)
}

// Fatalf implements server.Logger. The process is not ended: the start fails.
func (l *serverLog) Fatalf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	l.log.Error(text)
	l.once.Do(func() { l.fatal <- fmt.Errorf("%s", text) })
}

// Errorf implements server.Logger. What the server calls an error is, for the
// process around it, another server or client that cannot be reached.
func (l *serverLog) Errorf(format string, v ...any) { l.warn(fmt.Sprintf(format, v...)) }

// Warnf implements server.Logger.
func (l *serverLog) Warnf(format string, v ...any) { l.warn(fmt.Sprintf(format, v...)) }

// warn logs a text unless it is the last one again.
func (l *serverLog) warn(text string) {
	for _, e := range expected {
		if strings.HasPrefix(text, e) {
			l.log.Debug(text)
			return
		}
	}
	l.mu.Lock()
	again := text == l.last
	l.last = text
	l.mu.Unlock()
	if !again {
		l.log.Warn(text)
	}
}

// Debugf implements server.Logger; the server calls it only where debugging is on.
func (l *serverLog) Debugf(string, ...any) {}

// Tracef implements server.Logger; tracing is never on.
func (l *serverLog) Tracef(string, ...any) {}
