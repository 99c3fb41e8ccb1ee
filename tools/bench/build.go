package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// build makes the programs of all systems: ours in their own module, the others
// in this one, which names their versions.
func build(ctx context.Context, dir string) (string, error) {
	root, err := command(ctx, "", "go", "list", "-m", "-f", "{{.Dir}}", "github.com/kvorum/kvorum")
	if err != nil {
		return "", err
	}
	root = strings.TrimSpace(root)
	version, err := command(ctx, root, "git", "describe", "--tags", "--always", "--dirty")
	if err != nil {
		version = "dev" // not a clone
	}
	bin := filepath.Join(dir, "bin")
	for _, b := range []struct {
		dir  string
		args []string
	}{
		{"", []string{filepath.Join(bin, "etcd"), "go.etcd.io/etcd/server/v3"}},
		{"", []string{filepath.Join(bin, "nats-server"), "github.com/nats-io/nats-server/v2"}},
		{root, []string{bin + "/", "./services/node/cmd/kvorum-node", "./services/watch/cmd/kvorum-watch"}},
	} {
		fmt.Fprintln(os.Stderr, "building", b.args[1])
		flags := []string{"build", "-trimpath", "-ldflags", "-s -w -X github.com/kvorum/kvorum/libs/svc.Version=" + strings.TrimSpace(version), "-o"}
		if _, err := command(ctx, b.dir, "go", slices.Concat(flags, b.args)...); err != nil {
			return "", err
		}
	}
	return bin, nil
}

// versions are what the programs say of themselves.
func versions(ctx context.Context, bin string) (list []string, err error) {
	for _, p := range []string{"kvorum-node", "etcd", "nats-server"} {
		out, err := command(ctx, "", filepath.Join(bin, p), "--version")
		if err != nil {
			return nil, err
		}
		first, _, _ := strings.Cut(out, "\n")
		list = append(list, strings.TrimSpace(first))
	}
	return list, nil
}

func command(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), err, out, errs.String())
	}
	return string(out), nil
}
