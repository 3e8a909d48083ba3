package eventlog

// Backup describes a copy of a log in a folder.
type Backup struct {
	// Bounds are the copy's.
	Bounds Bounds
	// Records is how many it holds.
	Records uint64
	// Bytes is the size of its files, also of those that it shares with the log.
	Bytes uint64
}
