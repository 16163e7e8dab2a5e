// Package image puts images on disks: from a file or a web server, raw or qcow2,
// compressed or not, in one pass and in little memory.
//
//	d := &disk.Disk{Device: f, Size: size}
//	sum, err := image.ParseChecksum("sha256", "9f86d0…")
//	…
//	result, err := image.Write(ctx, d, &image.HTTP{URL: url, Retries: 9}, image.Options{Format: image.QCOW2, Checksum: sum})
//
// [Write] fetches, hashes, decodes and writes side by side; the ramdisk's agent
// and iSCSI deploys both use it. [Inspect] says how large a disk an image needs.
// [NewQCOW2Reader] reads a qcow2 image at random, for other uses.
//
// # Sources
//
// A [File] is local, or anything open that can be read at random. [HTTP] takes
// a broken download up where it broke. It does so with the validators (ETag,
// Last-Modified) of what was begun; a server whose content changed meanwhile has
// the writing begin anew. Where there are neither validators nor a checksum,
// nothing is taken up.
//
// # What boots
//
// Only an image that is complete, right and on the medium boots: its first MiB
// stays zeros until all the rest was written, flushed and verified. See [Write].
//
// # Zeros
//
// Holes of a qcow2 image and runs of zeros in any image are not written. On a
// disk that is known to read as zeros ([Options].Zeroed) they are left alone, on
// any other they are zeroed, by the disk's own means where it has them
// (disk.Zeroer), because what is there is somebody's old data.
//
// # qcow2
//
// Versions 2 and 3, clusters of all sizes, compressed by zlib or zstd,
// subclusters; of an image with snapshots, its current state. Refused are images
// that name other files (a backing file, an external data file), encrypted and
// corrupt ones, unknown features, and tables larger than 16 MiB. Tables are read
// first, by ranges; then the file passes once in its own order, so that it is
// hashed as it is served and nothing is spooled, in the few MiB that the tables
// need. What was read first is compared when it passes: the checksum is of that
// too. A server that cannot serve ranges can serve raw images only.
//
// # Compressed images
//
// A raw image may be compressed as a whole by gzip or zstd. zstd is several
// times as fast; frames that need a window of more than 16 MiB (--ultra, --long)
// are refused.
package image
