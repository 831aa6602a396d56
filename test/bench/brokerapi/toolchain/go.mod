// The Go that builds the broker beside, by version and, in go.sum, by checksum: distributions have
// an older one, which fetches it.
module osbd/bench/toolchain

go 1.19

require golang.org/toolchain v0.0.1-go1.23.5.linux-amd64
