package node

import (
	"context"
	"fmt"
	"log/slog"
)

// raftLogger writes raft's messages to the node's log: its chatter for
// debugging only, and its panics as panics, which end the process before
// anything wrong is acknowledged.
type raftLogger struct{ log *slog.Logger }

func (l raftLogger) write(level slog.Level, format string, v []any) {
	if l.log.Enabled(context.Background(), level) {
		l.log.Log(context.Background(), level, "raft: "+fmt.Sprintf(format, v...))
	}
}

func (l raftLogger) Debug(v ...any)                   { l.write(slog.LevelDebug, "%s", []any{fmt.Sprint(v...)}) }
func (l raftLogger) Debugf(format string, v ...any)   { l.write(slog.LevelDebug, format, v) }
func (l raftLogger) Info(v ...any)                    { l.write(slog.LevelDebug, "%s", []any{fmt.Sprint(v...)}) }
func (l raftLogger) Infof(format string, v ...any)    { l.write(slog.LevelDebug, format, v) }
func (l raftLogger) Warning(v ...any)                 { l.write(slog.LevelWarn, "%s", []any{fmt.Sprint(v...)}) }
func (l raftLogger) Warningf(format string, v ...any) { l.write(slog.LevelWarn, format, v) }
func (l raftLogger) Error(v ...any)                   { l.write(slog.LevelError, "%s", []any{fmt.Sprint(v...)}) }
func (l raftLogger) Errorf(format string, v ...any)   { l.write(slog.LevelError, format, v) }
func (l raftLogger) Fatal(v ...any)                   { panic("raft: " + fmt.Sprint(v...)) }
func (l raftLogger) Fatalf(format string, v ...any)   { panic("raft: " + fmt.Sprintf(format, v...)) }
func (l raftLogger) Panic(v ...any)                   { panic("raft: " + fmt.Sprint(v...)) }
func (l raftLogger) Panicf(format string, v ...any)   { panic("raft: " + fmt.Sprintf(format, v...)) }
