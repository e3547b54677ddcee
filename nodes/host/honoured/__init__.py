"""What arrives on MODEL and CONDITIONING links, and what of it a stream uses.

Everything that is there is walked through, less what the stream uses: what is left is told, or refused where pictures
would plainly be wrong. Nothing is looked for by the names of nodes that are known to fail.
"""
