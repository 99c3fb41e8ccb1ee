package svc

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"syscall"
)

// Bounds of a secret, without the white space around it.
const (
	MinSecretBytes = 16
	MaxSecretBytes = 1024
)

// developmentPrefix begins the secret that the repository ships so that one
// command starts the compose stack. Everybody knows it.
const developmentPrefix = "development-only-"

// ReadSecret reads the secret that a file holds. White space around it does not
// count; inside it is refused, because it hints at a wrong file. It warns when
// others on the machine may read a file that this user owns (a file of somebody
// else's, such as a mounted one, is theirs to protect) and when the secret is
// the published one for development.
func ReadSecret(path string) (string, error) {
	if path == "" {
		return "", Usagef("--secret-file is missing: routes always carry the cluster's secret; make one with: head -c 32 /dev/urandom | base64 > FILE")
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("secret file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("secret file: %w", err)
	}
	if info.IsDir() {
		return "", fmt.Errorf("secret file %s is a directory: was the file missing when the container was made?", path)
	}
	raw, err := io.ReadAll(io.LimitReader(f, MaxSecretBytes+64))
	if err != nil {
		return "", fmt.Errorf("secret file: %w", err)
	}
	secret := string(bytes.TrimSpace(raw))
	switch {
	case len(secret) < MinSecretBytes:
		return "", fmt.Errorf("secret file %s: %d bytes, want at least %d", path, len(secret), MinSecretBytes)
	case len(secret) > MaxSecretBytes:
		return "", fmt.Errorf("secret file %s: more than %d bytes", path, MaxSecretBytes)
	case strings.ContainsFunc(secret, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", fmt.Errorf("secret file %s: want one line of printable ASCII without spaces", path)
	}
	if ownedAndOpen(info) {
		slog.Warn("other users of this machine can read the secret file: chmod 600 it", "file", path)
	}
	if strings.HasPrefix(secret, developmentPrefix) {
		slog.Warn("this is the development secret that everybody knows: replace it before others can reach the cluster's network", "file", path)
	}
	return secret, nil
}

func ownedAndOpen(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid() && info.Mode().Perm()&0o044 != 0
}
