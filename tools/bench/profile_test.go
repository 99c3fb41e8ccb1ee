package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"testing"
	"time"
)

func TestProfileSummary(t *testing.T) {
	var profile bytes.Buffer
	if err := pprof.StartCPUProfile(&profile); err != nil {
		t.Fatal(err)
	}
	pprof.StopCPUProfile()
	asked := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.String()
		_, _ = w.Write(profile.Bytes())
	}))
	defer server.Close()
	p := profiler{dir: filepath.Join(t.TempDir(), "profiles")}
	path := p.path("put/64", "leader")
	if err := saveProfile(t.Context(), strings.TrimPrefix(server.URL, "http://"), 2*time.Second, path); err != nil {
		t.Fatal(err)
	}
	if asked != "/debug/pprof/profile?seconds=2" {
		t.Errorf("asked for %s", asked)
	}
	for _, process := range []string{"follower", "fan-out"} {
		if err := os.WriteFile(p.path("put/64", process), profile.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	texts, err := p.summaries(t.Context(), "put/64")
	if err != nil {
		t.Fatal(err)
	}
	if len(texts) != 3 || texts[0].Process != "leader" || texts[0].Row != "put/64" {
		t.Fatalf("%+v", texts)
	}
	for _, text := range []string{texts[0].Flat, texts[2].Cumulative} {
		if !strings.Contains(text, "flat%") || strings.Contains(text, "Type:") || strings.Contains(text, "Time:") {
			t.Errorf("summary: %s", text)
		}
	}
}
