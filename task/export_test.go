package task

// Idle reports whether m remembers no lock and no waiter of any node.
func Idle(m *Manager) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.gates) == 0 && len(m.held) == 0
}
