// Package imagecache keeps files that were downloaded for machines: kernels,
// ramdisks and disk images, each once, whatever the number of nodes and of
// processes that want it.
//
//	cache, err := imagecache.New(imagecache.Config{Dir: "/var/lib/provisioner/images"})
//	image, err := cache.Get(ctx, imagecache.Request{URL: url, SHA256: sum})
//	defer image.Close()
//	f, err := os.Open(image.Path)
//
// # What is kept
//
// Content is kept by its SHA-256. A request with one that is there needs no
// network; a request without asks the server whether the file has changed, by
// its entity tag or date. A download goes on where a connection broke, and is
// checked against length and digest before anybody sees it.
//
// # Several users
//
// Goroutines and processes that ask for one URL at once cause one download. If it
// fails, it fails for all who waited for it in its process, and the next request
// tries again. An image stays at least until its [Image] is closed, or the process
// ends; then it goes when it is older than Config.MaxAge, or the oldest first when
// there is more than Config.MaxBytes. A process that is killed leaves nothing that
// the next one stumbles over: half a download is taken up or thrown away.
//
// # Errors
//
// Errors are task.Error values that name the URL without its query and user,
// which may be secrets. A wrong digest Is [ErrDigest].
package imagecache
