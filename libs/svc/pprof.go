package svc

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"
)

// servePprof serves the Go runtime's profiles below /debug/pprof/ for as long as
// the process runs. Whoever can reach the address can slow the process down and
// read its memory, so that it must be a loopback address.
func servePprof(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return Usagef("--pprof-listen %q: want HOST:PORT: %v", address, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return Usagef("--pprof-listen %s: profiles show memory: only a loopback address, such as 127.0.0.1:6060, is allowed", address)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("--pprof-listen: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { slog.Warn("profiles are no longer served", "error", server.Serve(l)) }()
	return nil
}
