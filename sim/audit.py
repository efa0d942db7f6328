class Auditor:
    def __init__(self,g,s): pass
    def record(self,row,pc): pass
    def check(self,e,w,r): pass
