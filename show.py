import sys,pickle
a=pickle.load(open(sys.argv[1],'rb'))
g=a.graph
for la in g.layers:
    print(type(la).__name__, la.name, {k:getattr(la,k) for k in ('source','output','output_channels','input_channels','output_tiles','input_tiles','residual','completed_by','groups','grid') if getattr(la,k,None) not in (None,1)}, getattr(la,'weight',None).shape if hasattr(la,'weight') else '', g.shapes.get(getattr(la,'output',None)))
