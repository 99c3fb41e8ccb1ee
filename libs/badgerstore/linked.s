// Package badgerstore declares functions without a body (compactors.go): the
// compiler takes those only beside a file of this kind.
