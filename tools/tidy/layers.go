package main

import (
	"go/ast"
	"slices"
	"strings"
)

// module is the path of the repository's root module.
const module = "github.com/kvorum/kvorum"

// layer says what the packages of a folder may import besides the standard
// library. Tests are free of it: they may build what they test from anything.
type layer struct {
	dir      string
	internal []string // folders of this repository
	external []string // modules of others
}

const (
	raft       = "go.etcd.io/raft/v3"
	badger     = "github.com/dgraph-io/badger/v4"
	natsServer = "github.com/nats-io/nats-server/v2"
	natsClient = "github.com/nats-io/nats.go"
	protobuf   = "google.golang.org/protobuf"
	pflag      = "github.com/spf13/pflag"
	unix       = "golang.org/x/sys"
	porcupine  = "github.com/anishathalye/porcupine"
	fuse       = "github.com/hanwen/go-fuse/v2"
)

// layers are the import directions: api → core → drivers and simulator, api →
// client → feed, all of those → services. The first layer that a file is in
// counts.
var layers = []layer{
	{"libs/api", []string{"libs/api"}, []string{protobuf}},
	{"libs/client", []string{"libs/api", "libs/client"}, []string{natsClient, "github.com/nats-io/nuid", protobuf}},
	{"libs/core", []string{"libs/api", "libs/core"}, []string{raft, protobuf, "github.com/tidwall/btree", "github.com/cespare/xxhash/v2"}},
	{"libs/badgerstore", []string{"libs/api", "libs/core", "libs/badgerstore"}, []string{badger, raft, protobuf, unix}},
	{"libs/natsbus", []string{"libs/api", "libs/core", "libs/natsbus"}, []string{natsServer, natsClient, "github.com/nats-io/jwt/v2", "github.com/nats-io/nkeys", "github.com/nats-io/nuid", raft, protobuf}},
	{"libs/check", []string{"libs/api", "libs/check"}, []string{porcupine, protobuf}},
	{"libs/sim", []string{"libs/api", "libs/core", "libs/client/watchstate", "libs/feed/feedstate", "libs/check", "libs/sim"}, []string{raft, protobuf}},
	{"libs/feed", []string{"libs/api", "libs/client", "libs/feed"}, []string{natsClient, protobuf}},
	{"libs/svc", []string{"libs/svc"}, []string{pflag, unix}},
	{"services/node", []string{"libs", "services/node"}, []string{natsClient, raft, protobuf, pflag, unix}},
	{"services/watch", []string{"libs", "services/watch"}, []string{natsClient, protobuf, pflag, unix}},
	{"tools/tidy", []string{"tools/tidy"}, nil},
	{"tools/sim", []string{"libs", "tools/sim"}, []string{pflag}},
	{"tools/torture", []string{"libs", "tools/torture"}, []string{fuse, natsClient, protobuf, pflag, unix}},
	// What it compares with is its own module's to require.
	{"tools/bench", []string{"libs/api", "libs/client", "libs/svc"}, []string{natsClient, pflag, "github.com/HdrHistogram/hdrhistogram-go", "go.etcd.io/etcd/api/v3", "go.etcd.io/etcd/client/v3", "go.uber.org/zap", "google.golang.org/grpc", unix}},
	{"tools/kvorum", []string{"libs/api", "libs/client", "libs/feed", "libs/svc", "tools/kvorum"}, []string{natsClient, protobuf, pflag, unix}},
	{"tests", []string{"libs", "tests"}, []string{natsClient, protobuf}},
}

func checkLayers(t *tree, report func(string, string, ...any)) {
	t.goFiles(func(f file) {
		if f.test {
			return
		}
		i := slices.IndexFunc(layers, func(l layer) bool { return within(f.path, l.dir) })
		if i < 0 {
			report(f.path, "its folder is in no layer: add it to layers in tools/tidy")
			return
		}
		for _, p := range f.imports() {
			dir, ours := strings.CutPrefix(p, module+"/")
			switch {
			case ours && !withinAny(dir, layers[i].internal):
				report(f.path, "%s must not import %s", layers[i].dir, dir)
			case !ours && strings.Contains(p, ".") && !withinAny(p, layers[i].external):
				report(f.path, "%s must not import %s", layers[i].dir, p)
			}
		}
	})
}

// checkHomes holds for tests as well.
func checkHomes(t *tree, report func(string, string, ...any)) {
	t.goFiles(func(f file) {
		for _, p := range f.imports() {
			switch {
			case within(p, module+"/tools") && !within(f.path, "tools"):
				report(f.path, "imports %s", p)
			case within(p, badger) && !within(f.path, "libs/badgerstore"):
				report(f.path, "imports Badger outside libs/badgerstore")
			case within(p, natsServer) && !within(f.path, "libs/natsbus") && !f.test:
				report(f.path, "imports nats-server outside libs/natsbus")
			case within(p, "go.etcd.io") && !within(p, raft) && !within(f.path, "tools/bench"):
				report(f.path, "imports %s: of etcd's modules only raft is used, but for the comparison in tools/bench", p)
			}
		}
	})
}

// ioPackages are what the core does without: each would let the world in.
var ioPackages = []string{"os", "net", "syscall", "log", "crypto/rand", "math/rand", "runtime", "testing/synctest", "plugin", "embed"}

// pure lists, for packages that are half deterministic, the names that the core
// may use: durations without a clock, generators with a given seed.
var pure = map[string][]string{
	"time":         {"Duration", "Nanosecond", "Microsecond", "Millisecond", "Second", "Minute", "Hour"},
	"math/rand/v2": {"Rand", "New", "Source", "PCG", "NewPCG", "ChaCha8", "NewChaCha8"},
}

func checkCore(t *tree, report func(string, string, ...any)) {
	t.goFiles(func(f file) {
		if !within(f.path, "libs/core") || f.test || f.generated {
			return
		}
		imports := f.imports()
		for _, p := range imports {
			if withinAny(p, ioPackages) && p != "math/rand/v2" {
				report(f.path, "the core must not import %s", p)
			}
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			if _, ok := n.(*ast.GoStmt); ok {
				report(f.path, "the core must not start goroutines")
			}
			selector, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if id, ok := selector.X.(*ast.Ident); ok {
				if p := imports[id.Name]; pure[p] != nil && !slices.Contains(pure[p], selector.Sel.Name) {
					report(f.path, "the core must not use %s.%s", id.Name, selector.Sel.Name)
				}
			}
			return true
		})
	})
}
