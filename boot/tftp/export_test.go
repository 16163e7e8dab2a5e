package tftp

// Portable has s do without what the system has to offer.
func Portable(s *Server) { s.portable = true }
