"""What any emulator needs: worlds, acts, ids, audit, faults. It knows nothing of what is emulated."""
