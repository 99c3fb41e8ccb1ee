package natsbus

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// ServiceInfo describes an instance of a service to whoever lists them
// (`nats micro ls`, `info`, `stats`).
type ServiceInfo struct {
	Name        string // letters, digits, - and _; the same for all instances
	ID          string // one subject token, unique among instances; empty: a random one
	Version     string // any; see semanticVersion
	Description string
	Metadata    map[string]string
	Endpoints   []Endpoint
}

// Endpoint is one thing that a service answers.
type Endpoint struct {
	Name       string
	Subject    string
	QueueGroup string
}

// EndpointStats is what an instance says of one endpoint's requests so far.
type EndpointStats = micro.EndpointStats

// Announce answers NATS service discovery for an instance until stop is called
// or the connection closes. stats is called for each question, from any
// goroutine. The requests themselves stay the caller's business: the micro
// library would run them one after the other.
func Announce(nc *nats.Conn, info ServiceInfo, stats func() []EndpointStats) (stop func(), err error) {
	if info.ID == "" {
		info.ID = rand.Text()
	}
	if info.Metadata == nil {
		info.Metadata = map[string]string{}
	}
	identity := micro.ServiceIdentity{Name: info.Name, ID: info.ID, Version: semanticVersion(info.Version), Metadata: info.Metadata}
	started := time.Now().UTC()
	answers := map[micro.Verb]func() any{
		micro.PingVerb: func() any { return micro.Ping{ServiceIdentity: identity, Type: micro.PingResponseType} },
		micro.InfoVerb: func() any { return microInfo(identity, info) },
		micro.StatsVerb: func() any {
			s := micro.Stats{ServiceIdentity: identity, Type: micro.StatsResponseType, Started: started}
			for _, e := range stats() {
				s.Endpoints = append(s.Endpoints, &e)
			}
			return s
		},
	}
	var subs []*nats.Subscription
	stop = func() {
		for _, sub := range subs {
			_ = sub.Unsubscribe() // fails where the connection is closed already
		}
	}
	for verb, answer := range answers {
		for _, whose := range [][2]string{{"", ""}, {info.Name, ""}, {info.Name, info.ID}} {
			subject, err := micro.ControlSubject(verb, whose[0], whose[1])
			var sub *nats.Subscription
			if err == nil {
				sub, err = nc.Subscribe(subject, func(m *nats.Msg) { respondJSON(m, answer()) })
			}
			if err != nil {
				stop()
				return nil, fmt.Errorf("announce service %s: %w", info.Name, err)
			}
			subs = append(subs, sub)
		}
	}
	return stop, nil
}

// semanticVersion makes of a build's version what service discovery demands:
// its leading MAJOR.MINOR.PATCH, or 0.0.0 for a build without a release.
func semanticVersion(v string) string {
	if m := release.FindString(strings.TrimPrefix(v, "v")); m != "" {
		return m
	}
	return "0.0.0"
}

var release = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+`)

func microInfo(identity micro.ServiceIdentity, info ServiceInfo) micro.Info {
	out := micro.Info{ServiceIdentity: identity, Type: micro.InfoResponseType, Description: info.Description, Endpoints: []micro.EndpointInfo{}}
	for _, e := range info.Endpoints {
		out.Endpoints = append(out.Endpoints, micro.EndpointInfo{
			Name: e.Name, Subject: e.Subject, QueueGroup: e.QueueGroup, Metadata: map[string]string{},
		})
	}
	return out
}

// respondJSON answers a question; one without a reply subject, or whose asker
// is gone, gets no answer.
func respondJSON(m *nats.Msg, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		panic("natsbus: encode a service's description: " + err.Error()) // only strings and numbers
	}
	_ = m.Respond(data)
}
