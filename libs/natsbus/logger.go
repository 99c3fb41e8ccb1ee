package natsbus

import (
	"context"
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

// Noticef implements server.Logger. Routes opening and closing are worth an
// operator's attention, the rest of the server's notices is not.
func (l *serverLog) Noticef(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	level := slog.LevelDebug
	if strings.Contains(text, "Route connection created") {
		level = slog.LevelInfo
	}
	if strings.Contains(text, routeClosedText) {
		level = slog.LevelInfo
		if l.routeClosed != nil {
			_, remote, _ := strings.Cut(text, routeRemoteText)
			l.routeClosed(remote)
		}
	}
	l.log.Log(context.Background(), level, text)
}

// Fatalf implements server.Logger. The process is not ended: the start fails.
func (l *serverLog) Fatalf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	l.log.Error(text)
	l.once.Do(func() { l.fatal <- fmt.Errorf("%s", text) })
}

// Errorf implements server.Logger.
func (l *serverLog) Errorf(format string, v ...any) { l.log.Warn(fmt.Sprintf(format, v...)) }

// Warnf implements server.Logger.
func (l *serverLog) Warnf(format string, v ...any) { l.log.Warn(fmt.Sprintf(format, v...)) }

// Debugf implements server.Logger; the server calls it only where debugging is on.
func (l *serverLog) Debugf(string, ...any) {}

// Tracef implements server.Logger; tracing is never on.
func (l *serverLog) Tracef(string, ...any) {}
