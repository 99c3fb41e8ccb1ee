package natsbus

import (
	"sync/atomic"
	"time"
)

// Stats counts the requests of a service's endpoints. Observe takes no lock.
type Stats struct {
	endpoints []*endpointCounter
	byName    map[string]*endpointCounter // never changed
}

type endpointCounter struct {
	Endpoint
	requests, errors, nanoseconds atomic.Int64
	lastError                     atomic.Pointer[string]
}

// NewStats makes counters at zero for the endpoints.
func NewStats(endpoints []Endpoint) *Stats {
	s := &Stats{byName: map[string]*endpointCounter{}}
	for _, e := range endpoints {
		c := &endpointCounter{Endpoint: e}
		s.endpoints = append(s.endpoints, c)
		s.byName[e.Name] = c
	}
	return s
}

// Observe counts a request to an endpoint, by its name: how long it took and
// the error that it was answered with, or nil. Names that NewStats was not given
// are ignored.
func (s *Stats) Observe(endpoint string, took time.Duration, err error) {
	c, ok := s.byName[endpoint]
	if !ok {
		return
	}
	c.requests.Add(1)
	c.nanoseconds.Add(int64(took))
	if err != nil {
		c.errors.Add(1)
		text := err.Error()
		c.lastError.Store(&text)
	}
}

// Endpoints is the state of the counters, in the order given to NewStats. It
// has the form that Announce takes.
func (s *Stats) Endpoints() []EndpointStats {
	out := make([]EndpointStats, 0, len(s.endpoints))
	for _, c := range s.endpoints {
		e := EndpointStats{
			Name: c.Name, Subject: c.Subject, QueueGroup: c.QueueGroup,
			NumRequests: int(c.requests.Load()), NumErrors: int(c.errors.Load()),
			ProcessingTime: time.Duration(c.nanoseconds.Load()),
		}
		if e.NumRequests > 0 {
			e.AverageProcessingTime = e.ProcessingTime / time.Duration(e.NumRequests)
		}
		if text := c.lastError.Load(); text != nil {
			e.LastError = *text
		}
		out = append(out, e)
	}
	return out
}
