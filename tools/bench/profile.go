package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// profile takes CPU profiles of our servers while a row runs, if asked for. The
// caller calls wait afterwards. Files are named ROW.PROCESS.pprof; the leader's
// process is called leader.
func profile(ctx context.Context, s system, o options, row string) (wait func()) {
	k, ours := s.(*kvorum)
	if o.profiles == "" || !ours {
		return func() {}
	}
	leader, err := k.leader(ctx)
	var wg sync.WaitGroup
	for name, address := range k.profiled {
		if err == nil && leader.name == name {
			name = "leader"
		}
		path := filepath.Join(o.profiles, strings.ReplaceAll(row, "/", "-")+"."+name+".pprof")
		wg.Go(func() {
			sleep(ctx, o.time/5)
			if err := saveProfile(ctx, address, max(o.time, time.Second), path); err != nil {
				fmt.Fprintln(os.Stderr, "no profile of", name+":", err)
			}
		})
	}
	return wg.Wait
}

func saveProfile(ctx context.Context, address string, d time.Duration, path string) error {
	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", address, int(d.Seconds()))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o644)
}
