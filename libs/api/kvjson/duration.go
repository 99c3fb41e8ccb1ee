package kvjson

import (
	"math"
	"time"
)

// A duration is a string as Go writes it, "1.5s" or "2m30s", of whole
// milliseconds. Those that Go's own durations cannot hold, past 292 years, have
// no form.
const maxMillis = math.MaxInt64 / int64(time.Millisecond)

func (r *reader) millis() int64 {
	s := r.string()
	d, err := time.ParseDuration(s)
	switch {
	case err != nil || len(s) > 40:
		r.fail(`want a duration in a string, such as "1.5s", "500ms" or "2m30s"`)
	case d%time.Millisecond != 0:
		r.fail("want a duration of whole milliseconds")
	}
	return d.Milliseconds()
}

func (w *writer) millis(name string, n int64) {
	if n > maxMillis || n < -maxMillis {
		w.fail("%s: %d ms is no duration", name, n)
		return
	}
	w.string(name, (time.Duration(n) * time.Millisecond).String())
}

// optionalMillis is millis, left out if 0.
func (w *writer) optionalMillis(name string, n int64) {
	if n != 0 {
		w.millis(name, n)
	}
}
