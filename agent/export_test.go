package agent

import "io"

// BoundForTest bounds a body as the client bounds the answers of ramdisks, whose
// own bound takes seconds to read up to.
func BoundForTest(r io.Reader, left int64) io.Reader { return &answer{r: r, left: left} }

// SHA256Crypt is crypt(3) with $5$.
var SHA256Crypt = sha256Crypt
