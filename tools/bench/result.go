package main

import (
	"regexp"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// result is what one measurement gave. Watch, Failover and Load are of the rows
// that those names say.
type result struct {
	Ops     int64         `json:"ops"`
	Errors  int64         `json:"errors"`
	Elapsed time.Duration `json:"elapsedNanos"`
	latency
	// usage is the servers': CPU and bytes of the measurement, memory at its end.
	usage
	DriverCPU  float64          `json:"driverCpuSeconds"`
	ErrorTexts map[string]int64 `json:"errorTexts,omitempty"`
	Watch      *watched         `json:"watch,omitempty"`
	Failover   *failedOver      `json:"failover,omitempty"`
	Load       *loaded          `json:"load,omitempty"`
}

// latency is of operations, milliseconds.
type latency struct {
	P50  float64 `json:"p50Millis"`
	P99  float64 `json:"p99Millis"`
	P999 float64 `json:"p999Millis"`
	Max  float64 `json:"maxMillis"`
}

// perSecond is the throughput.
func (r result) perSecond() float64 { return over(float64(r.Ops), r.Elapsed.Seconds()) }

// cpuPer10k is the servers' CPU seconds for 10,000 operations; driverPer10k is
// this program's.
func (r result) cpuPer10k() float64    { return over(r.CPUSeconds, float64(r.Ops)) * 10_000 }
func (r result) driverPer10k() float64 { return over(r.DriverCPU, float64(r.Ops)) * 10_000 }

// cpuPercent is the servers' CPU as a part of one core.
func (r result) cpuPercent() float64 { return over(r.CPUSeconds, r.Elapsed.Seconds()) * 100 }

func (r result) p50() float64 { return r.P50 }

// over is a quotient, 0 where there is nothing to divide by.
func over(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// latencies are recorded by one goroutine.
type latencies struct{ *hdrhistogram.Histogram }

// newLatencies takes nanoseconds up to a minute, with three digits.
func newLatencies() latencies {
	return latencies{hdrhistogram.New(1000, int64(time.Minute), 3)}
}

// record counts what is longer than a minute as a minute.
func (l latencies) record(d time.Duration) {
	_ = l.RecordValue(min(int64(d), int64(time.Minute))) // in range by construction
}

func (l latencies) summary() latency {
	at := func(quantile float64) float64 { return float64(l.ValueAtQuantile(quantile)) / 1e6 }
	return latency{P50: at(50), P99: at(99), P999: at(99.9), Max: float64(l.Max()) / 1e6}
}

// tally counts errors by their texts.
type tally struct {
	mu    sync.Mutex
	count int64
	texts map[string]int64
	first error
}

const (
	tallyTexts     = 6
	tallyTextBytes = 120
)

var digits = regexp.MustCompile(`[0-9]+`)

func (t *tally) add(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := digits.ReplaceAllString(err.Error(), "N") // keys and times are not the kind of error
	text = text[:min(len(text), tallyTextBytes)]
	if t.count++; t.first == nil {
		t.first, t.texts = err, map[string]int64{}
	}
	if _, known := t.texts[text]; !known && len(t.texts) >= tallyTexts {
		text = "others"
	}
	t.texts[text]++
}

// into puts what was counted into a result, and starts again.
func (t *tally) into(r *result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r.Errors, r.ErrorTexts = t.count, t.texts
	t.count, t.texts, t.first = 0, nil, nil
}
